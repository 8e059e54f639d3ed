// Sets the chosen theme before the first paint, so the page never flashes. Without a choice the system decides.
try {
  const theme = localStorage.getItem("upnext.theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's theme then stays.
}
