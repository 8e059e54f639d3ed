// Pictures from nothing but a category, an id and a title: thumbnails, scenes of the pretended player, avatars.

import { svg } from "./dom.js";
import { chance, hash } from "./random.js";
import { FACES, MOTIFS, UPRIGHT, host, named } from "./motifs.js";

const [WIDTH, HEIGHT] = [320, 180];
let serial = 0;

// Hue, second hue and motif of a category: by its name where it is known, by its hash otherwise.
function style(category) {
  const known = named(category);
  if (known) return known;
  const kinds = Object.keys(MOTIFS);
  const number = hash(category);
  return { hue: (number * 137.508) % 360, turn: 30 + (number % 50), motif: kinds[number % kinds.length] };
}

const hsl = (hue, saturation, light) => `hsl(${((hue % 360) + 360) % 360} ${saturation}% ${light}%)`;

export function colour(category) {
  return hsl(style(category).hue, 68, 54);
}

function palette({ hue, turn }, random) {
  const [first, second] = [hue + (random() - 0.5) * 44, hue + turn + (random() - 0.5) * 40];
  return {
    dark: hsl(first, 62, 14), deep: hsl(first, 64, 26), base: hsl(first, 68, 44), light: hsl(second, 80, 66),
    pale: hsl(second, 85, 88), pop: hsl(hue + 170, 84, 62), shade: (share) => hsl(first + (second - first) * share, 66, 18 + 40 * share),
  };
}

// Mirrored or not, a little closer or not: the same subject seldom looks the same twice.
function framed(nodes, random, may) {
  const [mirrored, closer] = [may && random() < 0.5, 1 + random() * 0.35];
  const [x, y] = [WIDTH * (0.35 + 0.3 * random()), HEIGHT * (0.45 + 0.2 * random())];
  return svg("g", { transform: `${mirrored ? `translate(${WIDTH} 0) scale(-1 1) ` : ""}translate(${x} ${y}) scale(${closer.toFixed(3)}) translate(${-x} ${-y})` }, nodes);
}

// The scene alone, without a title.
export function picture(category, seed, { presented = false } = {}) {
  const random = chance(`${category} ${seed}`);
  const look = style(category);
  const colours = palette(look, random);
  const id = `art-${++serial}`;
  const sky = svg("linearGradient", { id, x1: random() * 0.4, y1: 0, x2: 0.6 + random() * 0.4, y2: 1 },
    svg("stop", { "stop-color": colours.deep }), svg("stop", { offset: 0.55, "stop-color": colours.base }), svg("stop", { offset: 1, "stop-color": colours.light }));
  const vignette = svg("radialGradient", { id: `${id}-v`, cx: 0.5, cy: 0.42, r: 0.78 },
    svg("stop", { offset: 0.55, "stop-color": "#000", "stop-opacity": 0 }), svg("stop", { offset: 1, "stop-color": "#000", "stop-opacity": 0.42 }));
  return svg("svg", { class: "art", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true", focusable: "false" },
    svg("defs", {}, sky, vignette),
    svg("rect", { width: WIDTH, height: HEIGHT, fill: `url(#${id})` }),
    svg("g", { class: "art-motif" }, framed(MOTIFS[look.motif](random, colours), random, !UPRIGHT.has(look.motif))),
    presented && !FACES.has(look.motif) ? svg("g", { class: "art-host" }, host(chance(`${seed} host`), colours)) : null,
    svg("rect", { width: WIDTH, height: HEIGHT, fill: `url(#${id}-v)` }));
}

export function thumbnail(video) {
  const random = chance(`${video.video_id} words`);
  const presented = random() < 0.3;
  const drawing = picture(video.category, video.video_id, { presented });
  if (presented || random() < 0.66) drawing.append(headline(video, random));
  return drawing;
}

const SMALL_WORDS = new Set("a an the of to in on for and or by with that this how what why is are was your you my i it its from at as be do not no part".split(" "));

// Two or three strong words of the title, set large as video makers do.
function headline(video, random) {
  const words = video.title.replace(/\(.*?\)/g, "").split(/[\s:,–-]+/).filter((word) => word && !SMALL_WORDS.has(word.toLowerCase()));
  const lines = [];
  for (const word of words.slice(0, 4)) {
    const last = lines.length - 1;
    if (last >= 0 && `${lines[last]} ${word}`.length <= 9) lines[last] += ` ${word}`;
    else if (lines.length < 2) lines.push(word);
  }
  const longest = Math.max(...lines.map((line) => line.length), 1);
  const size = Math.min(42, 185 / (longest * 0.66));
  // Never where the length of the video is written.
  const top = random() < 0.4 ? 140 - (lines.length - 1) * size * 0.98 : 20 + size * 0.74;
  return svg("g", { class: "art-words", transform: `rotate(${((random() - 0.5) * 4).toFixed(1)} 20 ${top})` },
    lines.map((line, index) => svg("text", {
      x: 16, y: top + index * size * 0.98, fill: index === lines.length - 1 && lines.length > 1 ? "#ffe14d" : "#fff", stroke: "rgb(0 0 0 / .62)", "stroke-width": size * 0.14,
      "stroke-linejoin": "round", "paint-order": "stroke", "font-size": size.toFixed(1),
    }, line.toUpperCase())));
}

export function avatar(name, seed) {
  const hue = chance(`${seed} hue`)() * 360;
  const id = `avatar-${++serial}`;
  const initials = name.replace(/[^\p{L}\p{N} ]/gu, "").split(/\s+/).filter(Boolean).map((word) => (/^\d+$/.test(word) ? word.slice(-2) : word[0])).slice(0, 2).join("");
  return svg("svg", { viewBox: "0 0 40 40", "aria-hidden": "true", focusable: "false", class: "avatar-art" },
    svg("defs", {}, svg("linearGradient", { id, x1: 0, y1: 0, x2: 1, y2: 1 }, svg("stop", { "stop-color": hsl(hue, 62, 56) }), svg("stop", { offset: 1, "stop-color": hsl(hue + 50, 66, 38) }))),
    svg("circle", { cx: 20, cy: 20, r: 20, fill: `url(#${id})` }),
    svg("text", { x: 20, y: 20, "text-anchor": "middle", "dominant-baseline": "central", "font-size": initials.length > 2 ? 13 : 15 }, initials.toUpperCase()));
}
