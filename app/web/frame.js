// What every page has: menu, theme, viewer switcher, search box.

import { $, announce, el } from "./dom.js";
import { avatar, colour } from "./art.js";
import { get } from "./api.js";
import * as memory from "./memory.js";

const NARROW = matchMedia("(max-width: 1080px)");

function menu() {
  const [button, rail, scrim] = [$("menu"), $("rail"), $("scrim")];
  const show = (open) => {
    document.body.classList.toggle("rail-open", open);
    button.setAttribute("aria-expanded", String(open));
    scrim.hidden = !(open && NARROW.matches);
    if (open && NARROW.matches) rail.querySelector("a").focus();
  };
  button.addEventListener("click", () => {
    if (NARROW.matches) show(!document.body.classList.contains("rail-open"));
    else document.body.classList.toggle("rail-closed");
  });
  scrim.addEventListener("click", () => show(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("rail-open")) {
      show(false);
      button.focus();
    }
  });
}

function theme() {
  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    memory.theme(root.dataset.theme);
    announce(`${root.dataset.theme} theme`);
  });
}

function swatches() {
  const wanted = new URLSearchParams(location.search).get("category");
  for (const node of document.querySelectorAll("[data-swatch]")) node.style.setProperty("--swatch", colour(node.dataset.swatch));
  for (const link of document.querySelectorAll("[data-category].rail-link, [data-category].chip")) {
    if (link.dataset.category === wanted) link.setAttribute("aria-current", "page");
  }
  if (location.pathname === "/" && !wanted) document.querySelectorAll("[data-home]").forEach((link) => link.setAttribute("aria-current", "page"));
  const here = document.querySelector(`.rail-link[href="${location.pathname}"]:not([data-home])`);
  here?.setAttribute("aria-current", "page");
}

function describe(viewer) {
  const known = [viewer.age_band, viewer.country, viewer.device, viewer.segment].filter((value) => value && value !== "unknown");
  return known.join(" · ") || "nothing known";
}

function switchTo(id) {
  memory.setViewer(id);
  const url = new URL(location.href);
  url.searchParams.delete("viewer_id");
  if (url.pathname.startsWith("/watch/")) location.assign("/");
  else location.assign(url.pathname + url.search);
}

function choice(id, name, note) {
  const current = id === memory.viewer();
  return el("li", {}, el("button",
    { type: "button", class: "viewer-choice", "aria-pressed": String(current), "data-viewer": id, onclick: () => switchTo(id) },
    avatar(name, `viewer ${id}`), el("span", { class: "viewer-text" }, el("strong", {}, name), el("span", { class: "muted" }, note))));
}

function viewers() {
  const [list, query] = [$("viewers-list"), $("viewers-q")];
  let latest = 0;
  const load = async () => {
    const mine = ++latest;
    const found = await get("/viewers", { q: query.value, k: 30 }).catch(() => ({ viewers: [] }));
    if (mine !== latest) return;
    const guest = query.value ? [] : [choice("", "Guest", "nobody in particular")];
    list.replaceChildren(...guest, ...found.viewers.map((one) => choice(one.viewer_id, `Viewer ${one.viewer_id}`, describe(one))));
    if (!list.children.length) list.append(el("li", { class: "muted pad" }, "No viewer matches."));
  };
  query.addEventListener("input", load);
  $("viewers").addEventListener("toggle", (event) => {
    if (event.newState === "open") load().then(() => query.focus());
  });
  const id = memory.viewer();
  const name = id ? `Viewer ${id}` : "Guest";
  $("viewer-name").textContent = name;
  $("viewer-avatar").replaceChildren(avatar(name, `viewer ${id}`));
  $("viewer").setAttribute("aria-label", `${name}; switch viewer`);
}

function search() {
  $("q").value = new URLSearchParams(location.search).get("q") ?? "";
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.matches("input, textarea, select")) {
      event.preventDefault();
      $("q").focus();
    }
  });
}

for (const begin of [menu, theme, swatches, viewers, search]) begin();
