// What one browser tab remembers: who is watching, and the pages it was shown. Nothing here is needed for the site to work.

const KEPT = 8;

function read(storage, key, otherwise) {
  try {
    return JSON.parse(storage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // Full or forbidden: the page works without it.
  }
}

export function viewer() {
  const wanted = new URLSearchParams(location.search).get("viewer_id");
  if (wanted !== null) setViewer(wanted);
  return read(localStorage, "upnext.viewer", document.body.dataset.firstViewer);
}

export function setViewer(id) {
  write(localStorage, "upnext.viewer", id);
}

export function theme(value) {
  try {
    localStorage.setItem("upnext.theme", value);
  } catch {
    // As above.
  }
}

// Pages by request id, so that a watch page can say why its video was offered.
export function rememberSlate(slate) {
  const slates = read(sessionStorage, "slates", []).filter((kept) => kept.request_id !== slate.request_id);
  write(sessionStorage, "slates", [slate, ...slates].slice(0, KEPT));
}

export function slateOf(requestId) {
  return read(sessionStorage, "slates", []).find((slate) => slate.request_id === requestId);
}

// The last home page of a viewer and what they did since: the two sides of "what changed".
export function rememberHome(id, slate) {
  write(sessionStorage, `home.${id}`, slate.videos.map(({ video_id, category, title }) => ({ video_id, category, title })));
}

// What a new viewer said to like, and deeds since. After a few of them nobody asks any more.
export const rememberTopics = (id, topics) => write(localStorage, `upnext.topics.${id}`, topics);
export const topicsOf = (id) => read(localStorage, `upnext.topics.${id}`, { chosen: [], deeds: 0 });

// Pages that failed, until the service was told.
const MOST_FAILURES = 20;
export const failures = () => read(localStorage, "upnext.failures", []);
export const rememberFailures = (events) => write(localStorage, "upnext.failures", events.slice(-MOST_FAILURES));

export const homeOf = (id) => read(sessionStorage, `home.${id}`, null);
export const rememberDeed = (id, deed) => write(sessionStorage, `deed.${id}`, deed);
export const deedOf = (id) => read(sessionStorage, `deed.${id}`, null);
