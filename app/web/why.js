// The panel behind "why this video": everything the service said about one slot, in words, bars and numbers.

import { duration, el, figure, icon, percent } from "./dom.js";
import { thumbnail } from "./art.js";
import { waterfall } from "./waterfall.js";

const SOURCES = {
  two_tower: "close to this viewer in the two-tower space",
  cowatch: "often watched together with recent videos",
  trending: "watched by many right now",
  fresh: "new, and not shown often yet",
  subscriptions: "from a followed channel",
};
const HEADS = {
  click: ["Chance of a click", percent], watch: ["Expected watching", (value) => duration(Math.max(value, 0))],
  like: ["Chance of a like", percent], dislike: ["Chance of a dislike", percent],
  relevance: ["Relevance among candidates", figure], affinity: ["Affinity of viewer and video", figure],
  utility: ["Score on the page", figure], rank_a: ["Place by ranking A", place], rank_b: ["Place by ranking B", place],
};

function place(rank) {
  return figure(rank + 1);
}

export function openWhy(video, slate) {
  const close = el("button", { type: "button", class: "round", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"));
  const dialog = el("dialog", { class: "why", "aria-labelledby": "why-title" },
    el("header", { class: "why-head" }, el("h2", { id: "why-title" }, "Why this video"), close),
    el("div", { class: "why-body" }, ...content(video, slate)));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function content(video, slate) {
  const why = video.explain ?? {};
  return [
    el("div", { class: "why-video" }, el("div", { class: "thumb" }, thumbnail(video)), el("div", {}, el("strong", {}, video.title), el("p", { class: "muted" }, `${video.channel} · ${video.category}`))),
    why.why ? el("p", { class: "why-text" }, why.why) : null,
    why.exploration ? el("p", { class: "why-explore" }, icon("spark"), "Shown by chance, to learn something: exploration keeps the system from only repeating itself.") : null,
    section("How it got here", facts([
      ["Proposed by", `${figure(why.source)}${SOURCES[why.source] ? `, ${SOURCES[why.source]}` : ""}`],
      ["Place on the page", `${video.position + 1} of ${slate.videos.length}`],
      ["Chance of this place", percent(why.propensity)],
      ["Release", slate.release], ["Arm of the experiment", slate.arm],
      ...(why.team ? [["Credited to", `ranking ${why.team.toUpperCase()}, of two on this page`]] : []),
    ])),
    section("What the ranker expects", bars(why.scores ?? {}, slate)),
    section("Some of what it knew", facts(Object.entries(why.features ?? {}).map(([name, value]) => [name.replaceAll("_", " "), figure(value)]))),
    slate.stage_ms ? section("Time for the whole page", waterfall(Object.entries(slate.stage_ms).map(([name, ms]) => ({ name, p50: ms })))) : null,
  ].filter(Boolean);
}

function section(title, body) {
  return body ? el("section", {}, el("h3", {}, title), body) : null;
}

function facts(pairs) {
  return pairs.length ? el("dl", { class: "facts" }, pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])) : null;
}

// Each bar is relative to the best video of the same page: heads have different units.
export function bars(scores, slate) {
  const heads = Object.entries(scores).filter(([, value]) => value !== null);
  if (!heads.length) return null;
  const order = Object.keys(HEADS);
  heads.sort(([a], [b]) => (order.indexOf(a) + 1 || 99) - (order.indexOf(b) + 1 || 99));
  return el("ul", { class: "bars" }, heads.map(([head, value]) => {
    const [name, format] = HEADS[head] ?? [head.replaceAll("_", " "), figure];
    const all = slate.videos.map((other) => other.explain?.scores?.[head]).filter(Number.isFinite);
    const [low, high] = [Math.min(0, ...all), Math.max(...all)];
    const bar = el("span", { class: "bar-fill" });
    bar.style.setProperty("--share", high > low ? Math.max((value - low) / (high - low), 0.01) : 0.01);
    return el("li", {}, el("span", { class: "bar-name" }, name), el("span", { class: "bar", "aria-hidden": "true" }, bar), el("span", { class: "bar-value" }, format(value)));
  }));
}
