// What a click did to the home page: compares the first ten videos before and after.

import { el } from "./dom.js";
import { colour } from "./art.js";

const COMPARED = 10;

// deed: { verb, category }. Returns null when there is nothing to compare.
export function difference(before, after, deed) {
  if (!before?.length || !after?.length) return null;
  const [old, now] = [before.slice(0, COMPARED), after.slice(0, COMPARED)];
  const known = new Set(old.map((video) => video.video_id));
  const fresh = now.filter((video) => !known.has(video.video_id));
  const toward = fresh.filter((video) => video.category === deed.category).length;
  const share = (videos) => videos.filter((video) => video.category === deed.category).length;
  return { old, now, fresh: new Set(fresh.map((video) => video.video_id)), toward, from: share(old), to: share(now), ...deed };
}

export function sentence(change) {
  const { toward, fresh, now, category, verb, from, to } = change;
  const away = verb === "dislike" || verb === "dismissal";
  if (away && to < from) return `${category} went from ${from} to ${to} of ${now.length} videos after your ${verb}`;
  if (!away && toward) return `${toward} of ${now.length} videos moved towards ${category} after your ${verb}`;
  if (fresh.size) return `${fresh.size} of ${now.length} videos are new after your ${verb}; ${category} went from ${from} to ${to}`;
  return `Your home page is the same ${now.length} videos after your ${verb}, so far`;
}

export function changeLine(change) {
  return el(
    "section", { class: "change", "aria-label": "What changed" },
    el("p", { class: "change-text" }, el("span", { class: "change-mark", "aria-hidden": "true" }, "↻"), el("strong", {}, sentence(change))),
    el("div", { class: "strips", "aria-hidden": "true" },
      el("span", { class: "muted" }, "before"), strip(change.old, new Set()),
      el("span", { class: "muted" }, "now"), strip(change.now, change.fresh)),
  );
}

function strip(videos, fresh) {
  return el("div", { class: "strip" }, videos.map((video) => {
    const cell = el("span", { class: fresh.has(video.video_id) ? "cell new" : "cell", title: `${video.category}: ${video.title}` });
    cell.style.setProperty("--swatch", colour(video.category));
    return cell;
  }));
}
