// What a page was like for its viewer: how long it took to appear, or that it did not. Experiments are guarded by it.

import { eventOf, send } from "./api.js";
import * as memory from "./memory.js";

const MOST_S = 600;
let first = true;
let broken = false;

// Failures wait in this browser until the service answers again; each has an id of its own, so it counts once.
function tell(events) {
  const waiting = [...memory.failures(), ...events];
  if (!waiting.length) return;
  const told = new Set(waiting.map((event) => event.event_id));
  send(waiting).then(() => memory.rememberFailures(memory.failures().filter((event) => !told.has(event.event_id))), () => {});
}

// Call when a page was put on the screen; the first one of a visit counts from the moment the viewer opened it.
export function loaded(slate, viewer, asked) {
  const since = first ? 0 : asked;
  first = false;
  if (!slate.videos.length) return;
  requestAnimationFrame(() => setTimeout(() => {
    const value = Math.min((performance.now() - since) / 1000, MOST_S);
    tell([eventOf("loaded", { ...slate.videos[0], request_id: slate.request_id, position: 0 }, viewer, { value })]);
  }));
}

export function failed(viewer) {
  first = false;
  const event = { kind: "failed", viewer_id: viewer || "guest", event_id: `${Date.now()}-${Math.random()}:failed` };
  memory.rememberFailures([...memory.failures(), event]);
  tell([]);
}

// A script that ends by a mistake: once per page, since the second is often the first one's fault.
function mistake() {
  if (broken) return;
  broken = true;
  failed(memory.viewer());
}

addEventListener("error", mistake);
addEventListener("unhandledrejection", mistake);
