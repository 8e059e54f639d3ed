// The same JSON routes as everybody else uses. Knows nothing of how a page looks.

export class Problem extends Error {}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem("The server does not answer. It may be starting; try again in a moment.");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(body.error ?? `The server answered ${response.status}.`);
  return body;
}

// A list is sent as one parameter per entry.
export function get(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)])));
  return call(`${path}?${query}`, { headers: { accept: "application/json" } });
}

const JSON_TYPE = { "content-type": "application/json", accept: "application/json" };

// With `wait`, resolves once the next page can know of the events.
export function send(events, { wait = false } = {}) {
  return call(`/events?wait=${wait}`, { method: "POST", headers: JSON_TYPE, body: JSON.stringify({ events }) });
}

// For the moment in which the page goes away: the browser delivers it later.
export function beacon(events) {
  navigator.sendBeacon("/events", new Blob([JSON.stringify({ events })], { type: "application/json" }));
}

export function admin(action, token) {
  return call(`/admin/${action}`, { method: "POST", headers: { ...JSON_TYPE, authorization: `Bearer ${token}` } });
}

// What only somebody with the admin token may write.
export function post(path, body, token) {
  return call(path, { method: "POST", headers: { ...JSON_TYPE, authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
}

// One id per (page, video, kind): sending it again, e.g. after a reload, counts once.
export function eventOf(kind, video, viewer, more = {}) {
  const event = { kind, viewer_id: viewer || "guest", video_id: video.video_id, ...more };
  if (video.request_id) {
    event.request_id = video.request_id;
    event.position = video.position;
    event.event_id = `${video.request_id}:${video.video_id}:${kind}`.slice(0, 100);
  }
  return event;
}
