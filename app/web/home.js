// The feed, search results and one category: three ways to fill the same grid.

import { $, announce, el, notice } from "./dom.js";
import { eventOf, get, send } from "./api.js";
import { changeLine, difference } from "./changes.js";
import { fillList } from "./cards.js";
import { failed, loaded } from "./health.js";
import * as memory from "./memory.js";

const PAGE = 24;
const NEW_HERE = "this viewer is new here";
const MOST_TOPICS = 10;
const HEARD_UNTIL = 5;
const parameters = new URLSearchParams(location.search);
const viewer = memory.viewer();

function title(text, note) {
  $("feed-title").textContent = text;
  $("feed-note").textContent = note;
}

function empty(text) {
  $("grid").replaceChildren(el("li", { class: "empty" }, el("p", { class: "empty-big", "aria-hidden": "true" }, "∅"), el("h2", {}, text), el("a", { class: "pill strong", href: "/" }, "Back to the videos")));
  $("grid").setAttribute("aria-busy", "false");
  announce(text);
}

// New viewers may say what they like; with every deed their history says more of it.
function chooser(slate) {
  const { chosen, deeds } = memory.topicsOf(viewer);
  $("topics").hidden = deeds > 0 || (!chosen.length && !slate.reasons.some((reason) => reason.startsWith(NEW_HERE)));
  for (const chip of document.querySelectorAll("[data-topic]")) chip.setAttribute("aria-pressed", chosen.includes(chip.dataset.topic));
}

async function choose(topic) {
  const { chosen } = memory.topicsOf(viewer);
  const others = chosen.filter((one) => one !== topic);
  memory.rememberTopics(viewer, { chosen: others.length < chosen.length ? others : [topic, ...others].slice(0, MOST_TOPICS), deeds: 0 });
  await load();
}

function topics(deed) {
  const { chosen, deeds } = memory.topicsOf(viewer);
  if (deed && chosen.length) memory.rememberTopics(viewer, { chosen: deeds + 1 < HEARD_UNTIL ? chosen : [], deeds: deeds + 1 });
  return memory.topicsOf(viewer).chosen;
}

async function feed({ quiet = false } = {}) {
  const [deed, asked] = [memory.deedOf(viewer), performance.now()];
  const slate = await get("/recommend", { viewer_id: viewer, k: PAGE, explain: true, topics: topics(deed) });
  const before = memory.homeOf(viewer);
  chooser(slate);
  memory.rememberSlate(slate);
  memory.rememberHome(viewer, slate);
  memory.rememberDeed(viewer, null);
  const ms = Object.values(slate.stage_ms ?? {}).reduce((sum, value) => sum + value, 0);
  title(viewer ? `For viewer ${viewer}` : "For everybody", `${slate.videos.length} videos in ${ms.toFixed(1)} ms · release ${slate.release.slice(0, 8)}`);
  const change = deed && difference(before, slate.videos, deed);
  $("notices").replaceChildren(...slate.reasons.map((reason) => notice(reason)), ...(change ? [changeLine(change)] : []));
  if (!slate.videos.length) return empty("There is nothing to recommend yet.");
  fillList($("grid"), slate.videos, slate, { onDismiss: (video) => dismiss(video, slate), say: quiet ? undefined : `${slate.videos.length} videos` });
  loaded(slate, viewer, asked);
}

async function dismiss(video, slate) {
  document.querySelector(`[data-video="${CSS.escape(video.video_id)}"]`)?.classList.add("leaving");
  await send([eventOf("dismiss", { ...video, request_id: slate.request_id }, viewer)], { wait: true });
  memory.rememberDeed(viewer, { verb: "dismissal", category: video.category });
  announce(`${video.title} will count as not interesting`);
  await feed({ quiet: true });
}

async function search(text) {
  const found = await get("/search", { q: text, k: 48 });
  title(`“${text}”`, found.videos.length ? `${found.videos.length} titles, best match first` : "");
  if (!found.videos.length) return empty("No title has these words.");
  fillList($("grid"), found.videos, null, { say: `${found.videos.length} videos found` });
}

async function browse(category) {
  const found = await get("/browse", { category, k: 48 });
  title(category, "Newest first, the same for everybody");
  if (!found.videos.length) return empty("There is nothing in this category yet.");
  fillList($("grid"), found.videos, null, { say: `${found.videos.length} videos` });
}

async function load() {
  const [text, category] = [parameters.get("q")?.trim(), parameters.get("category")];
  $("refresh").hidden = Boolean(text || category);
  try {
    await (text ? search(text) : category ? browse(category) : feed());
  } catch (error) {
    failed(viewer);
    const again = el("button", { class: "pill", type: "button", onclick: load }, "Try again");
    $("notices").replaceChildren(notice(error.message, again));
    $("grid").replaceChildren();
    $("grid").setAttribute("aria-busy", "false");
    announce(error.message);
  }
}

$("refresh").addEventListener("click", load);
$("topics").addEventListener("click", (event) => event.target.dataset.topic && choose(event.target.dataset.topic));
load();
// A page restored from the browser's memory is old: what happened since should show.
addEventListener("pageshow", (event) => event.persisted && load());
