// The labelling page. Keys y, n, s, u answer; nothing about what others thought is asked for before the answer is kept.

import { $, age, announce, duration, el, figure, notice, percent } from "./dom.js";
import { avatar, thumbnail } from "./art.js";
import { get, post } from "./api.js";
import { tile } from "./figures.js";

const KEYS = { y: "yes", n: "no", s: "skip", u: "undo" };
const NAME = "upnext.labeller";
const VOTES = { 1: "yes", 0: "no opinion", [-1]: "no" };

let shown = null;  // the video that is asked about
let now = Date.now();
let last = null;  // the one before, which can be taken back
let busy = false;

const who = () => $("name").value.trim();
const asked = () => document.querySelector("input[name=question]:checked");
const buttons = () => document.querySelectorAll("[data-answer]");

function progress(p) {
  const differ = p.pairs ? `${figure(p.differ)} of ${figure(p.pairs)}` : "–";
  $("tiles").hidden = false;
  $("tiles").replaceChildren(
    tile("Your labels", figure(p.answered), p.skipped ? ` ${figure(p.skipped)} skipped` : ""),
    tile("Per minute", p.per_minute === null ? "–" : p.per_minute.toFixed(1)),
    tile("Labelled videos", figure(p.labelled), ` by ${figure(p.people)} ${p.people === 1 ? "person" : "people"}`),
    tile("Two people disagree", differ, p.error === null ? "" : ` so ${percent(p.error)} of answers are wrong`),
  );
}

function show(video) {
  shown = video;
  $("desk").hidden = false;
  for (const button of buttons()) button.disabled = button.dataset.answer === "undo" ? !last : !video;
  $("question").textContent = asked().dataset.text;
  $("meaning").textContent = asked().dataset.meaning;
  $("title").textContent = video ? video.title : "Every video has been answered or skipped.";
  $("thumb").replaceChildren(...(video ? [thumbnail(video)] : []));
  $("avatar").replaceChildren(...(video ? [avatar(video.channel, video.channel_id)] : []));
  $("channel").textContent = !video || video.channel === "unknown" ? "" : video.channel;
  const facts = video ? [video.category, video.duration_s ? duration(video.duration_s) : null, video.uploaded_at ? age(video.uploaded_at, now) : null] : [];
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  if (video) announce(`${asked().dataset.text} ${video.title}`);
}

function reveal(video, answer, found) {
  if (!found) {
    const done = { undo: "taken back", skip: "skipped" }[answer] ?? `you said ${answer}`;
    $("revealed").replaceChildren(el("p", {}, `“${video.title}”: ${done}.`));
    return;
  }
  const { yes, no } = found.others;
  const people = yes + no ? `Other people: ${yes} yes, ${no} no.` : "Nobody else has answered yet.";
  const votes = found.functions.map(({ name, said }) => el("li", { class: said ? "" : "silent" }, el("span", {}, name), el("span", {}, VOTES[said])));
  $("revealed").replaceChildren(
    el("p", {}, `“${video.title}”: you said ${answer}.`),
    el("p", {}, `The model believed in a yes with ${percent(found.probability)}. ${people}`),
    votes.length ? el("ul", { class: "votes" }, votes) : el("p", { class: "muted" }, "This release has no labelling functions' votes: train it with --set labels=true."),
  );
}

async function guarded(work) {
  if (busy) return;
  busy = true;
  $("label").setAttribute("aria-busy", "true");
  try {
    await work();
    $("notices").replaceChildren();
  } catch (error) {
    $("notices").replaceChildren(notice(error.message));
  } finally {
    busy = false;
    $("label").setAttribute("aria-busy", "false");
  }
}

async function next() {
  const found = await get("/label/next", { question: asked().value, who: who() });
  now = found.at;
  progress(found.progress);
  show(found.video);
}

async function answer(said) {
  const video = said === "undo" ? last : shown;
  if (!video || !who()) return;
  // One id per answer until it is kept: sent again after a lost response, it counts once.
  video.ids = { [said]: video.ids?.[said] ?? crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
  const sent = { label_id: video.ids[said], question: asked().value, video_id: video.video_id, who: who(), answer: said };
  const kept = await post("/label/answers", sent, $("token").value);
  delete video.ids;
  reveal(video, said, kept.revealed);
  last = said === "undo" ? null : video;
  progress(kept.progress);
  if (said === "undo") show(video);
  else await next();
}

$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  localStorage.setItem(NAME, who());
  document.activeElement.blur();
  guarded(next);
});
for (const choice of document.querySelectorAll("input[name=question]")) {
  choice.addEventListener("change", () => {
    last = null;
    $("revealed").replaceChildren();
    if (who() && shown) guarded(next);
  });
}
for (const button of buttons()) button.addEventListener("click", () => guarded(() => answer(button.dataset.answer)));
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=radio]), textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || $("desk").hidden) return;
  const said = KEYS[event.key.toLowerCase()];
  if (said) guarded(() => answer(said));
});

$("name").value = localStorage.getItem(NAME) ?? "";
$("label").setAttribute("aria-busy", "false");
