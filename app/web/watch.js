// The watch page: tells the service what the viewer does, and shows what that changes.

import { $, announce, duration, el, notice, setButton } from "./dom.js";
import { avatar } from "./art.js";
import { beacon, eventOf, get, send } from "./api.js";
import { changeLine, difference } from "./changes.js";
import { fillList, watchUrl } from "./cards.js";
import * as health from "./health.js";
import { bars, openWhy } from "./why.js";
import { waterfall } from "./waterfall.js";
import { Player } from "./player.js";
import * as memory from "./memory.js";

const ASSUMED_S = 300;
const facts = $("watch").dataset;
const parameters = new URLSearchParams(location.search);
const viewer = memory.viewer();
const requestId = parameters.get("request_id");
const video = {
  video_id: facts.videoId, title: facts.title, category: facts.category,
  request_id: requestId, position: requestId ? Number(parameters.get("position") ?? 0) : undefined,
};
const slate = requestId ? memory.slateOf(requestId) : undefined;
const placed = slate?.videos.find((one) => one.video_id === video.video_id);
const lengthS = Number(facts.duration) || ASSUMED_S;
let next = null;

const player = new Player(video, lengthS, ended);

function ended() {
  if (!next) return;
  const link = el("a", { class: "pill strong", href: watchUrl(next.video, next.slate) }, "Play next");
  $("player-end").replaceChildren(el("p", { class: "muted" }, "Up next"), el("strong", {}, next.video.title), link);
  $("player-end").hidden = false;
}

async function upNext() {
  const asked = performance.now();
  const found = await get(`/upnext/${encodeURIComponent(video.video_id)}`, { viewer_id: viewer, k: 12, explain: true });
  memory.rememberSlate(found);
  next = found.videos.length ? { video: found.videos[0], slate: found } : null;
  $("notices").replaceChildren(...found.reasons.map((reason) => notice(reason)));
  fillList($("next"), found.videos, found, { row: true });
  health.loaded(found, viewer, asked);
  const expected = placed && bars(placed.explain.scores, slate);
  $("facts").replaceChildren(
    ...(expected ? [panel("What the ranker expected", expected)] : []),
    panel("How long the rail took", waterfall(Object.entries(found.stage_ms).map(([name, ms]) => ({ name, p50: ms })))));
}

function panel(title, body) {
  return el("section", { class: "panel" }, el("h2", {}, title), body);
}

// Asks for the home page without showing it, so no impression is logged.
async function whatChanged(verb) {
  const deed = { verb, category: video.category };
  memory.rememberDeed(viewer, deed);
  const before = memory.homeOf(viewer);
  if (!before) return;
  const after = await get("/recommend", { viewer_id: viewer, k: 24, preview: true, topics: memory.topicsOf(viewer).chosen });
  const change = difference(before, after.videos, deed);
  if (!change) return;
  const line = changeLine(change);
  $("changes").replaceChildren(line);
  announce(line.querySelector("strong").textContent);
}

async function opinion(button, kind, verb) {
  if (button.getAttribute("aria-pressed") === "true") return;
  button.setAttribute("aria-pressed", "true");
  try {
    await send([eventOf(kind, video, viewer)], { wait: true });
    await whatChanged(verb);
  } catch (error) {
    button.setAttribute("aria-pressed", "false");
    failed(error);
  }
}

function failed(error) {
  $("notices").replaceChildren(notice(error.message));
  announce(error.message);
}

function skip() {
  if (!next) return;
  beacon([eventOf("dismiss", video, viewer)]);
  location.assign(watchUrl(next.video, next.slate));
}

function dress() {
  setButton($("like"), "like", "Like");
  setButton($("dislike"), "dislike", "Dislike");
  setButton($("dismiss"), "dismiss", "Not interested");
  setButton($("why"), "why", "Why this video");
  setButton($("skip"), "skip", "", { label: "Skip to the next video" });
  $("channel-avatar").append(avatar(facts.channel, facts.channelId));
  $("video-note").textContent = `${facts.category} · ${facts.duration ? duration(lengthS) : "length unknown"}`;
  $("why").hidden = !placed;
  $("like").addEventListener("click", () => opinion($("like"), "like", "like"));
  $("dislike").addEventListener("click", () => opinion($("dislike"), "dislike", "dislike"));
  $("dismiss").addEventListener("click", () => opinion($("dismiss"), "dismiss", "dismissal"));
  $("why").addEventListener("click", () => openWhy(placed, slate));
  $("skip").addEventListener("click", skip);
}

async function begin() {
  dress();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
  try {
    // The click first: the rail and the comparison should already know of it.
    await send([eventOf("click", video, viewer)], { wait: true });
    await Promise.all([upNext(), whatChanged("click")]);
  } catch (error) {
    failed(error);
    $("next").replaceChildren();
  }
}

addEventListener("pagehide", () => {
  if (player.watchedS > 0) beacon([eventOf("watch", video, viewer, { value: Math.round(player.watchedS * 10) / 10 })]);
});
begin();
