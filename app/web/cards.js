// One video as a card, in the grid or in the rail. Knows nothing of where its data came from.

import { age, announce, duration, el, icon } from "./dom.js";
import { avatar, thumbnail } from "./art.js";
import { openWhy } from "./why.js";

export function watchUrl(video, slate) {
  const url = new URL(`/watch/${encodeURIComponent(video.video_id)}`, location.origin);
  if (slate?.request_id) {
    url.searchParams.set("request_id", slate.request_id);
    url.searchParams.set("position", video.position);
  }
  return url.pathname + url.search;
}

function thumb(video) {
  return el("div", { class: "thumb" },
    thumbnail(video),
    video.duration_s ? el("span", { class: "badge time" }, duration(video.duration_s)) : null,
    video.explain?.exploration ? el("span", { class: "badge explore" }, icon("spark"), "exploring") : null);
}

function tools(video, slate, onDismiss) {
  if (!video.explain) return null;
  const why = el("button", { type: "button", class: "tool", "aria-label": `Why this video: ${video.title}`, title: "Why this video", onclick: () => openWhy(video, slate) }, icon("why"));
  const dismiss = onDismiss && el("button",
    { type: "button", class: "tool", "aria-label": `Not interested in ${video.title}`, title: "Not interested", onclick: () => onDismiss(video) }, icon("dismiss"));
  return el("div", { class: "tools" }, why, dismiss);
}

function note(video, now) {
  return [video.category, video.uploaded_at ? age(video.uploaded_at, now) : null].filter(Boolean).join(" · ");
}

export function card(video, slate, { row = false, onDismiss } = {}) {
  const text = el("div", { class: "card-text" },
    el("h3", { class: "card-title" }, el("a", { href: watchUrl(video, slate), class: "card-link", "data-watch": video.video_id }, video.title)),
    el("p", { class: "muted" }, video.channel === "unknown" ? "" : video.channel),
    el("p", { class: "muted" }, note(video, slate?.at ?? Date.now())));
  const body = row ? text : el("div", { class: "card-body" }, el("span", { class: "avatar" }, avatar(video.channel, video.channel_id)), text);
  const node = el("li", { class: row ? "card row" : "card", "data-video": video.video_id, "data-category": video.category }, thumb(video), body, tools(video, slate, onDismiss));
  return node;
}

export function fillList(list, videos, slate, options = {}) {
  list.replaceChildren(...videos.map((video) => card(video, slate, options)));
  list.setAttribute("aria-busy", "false");
  if (options.say) announce(options.say);
}
