// What a thumbnail shows, by kind of subject, on a canvas of 320 × 180. A motif turns chance and a palette into SVG nodes.

import { svg } from "./dom.js";

const range = (count) => Array.from({ length: count }, (_, index) => index);
const circle = (cx, cy, r, fill, more = {}) => svg("circle", { cx, cy, r, fill, ...more });
const rect = (x, y, width, height, fill, more = {}) => svg("rect", { x, y, width, height, fill, ...more });
const path = (d, fill, more = {}) => svg("path", { d, fill, ...more });
const line = (d, stroke, width, more = {}) => svg("path", { d, fill: "none", stroke, "stroke-width": width, "stroke-linecap": "round", "stroke-linejoin": "round", ...more });
const oval = (cx, cy, rx, ry, fill, more = {}) => svg("ellipse", { cx, cy, rx, ry, fill, ...more });
const pick = (random, values) => values[Math.floor(random() * values.length)];

function stars(random, colours, count = 46) {
  return range(count).map(() => circle(random() * 320, random() * 180, 0.4 + random() * 1.3, colours.pale, { opacity: 0.35 + random() * 0.6 }));
}

function ridge(random, base, swing) {
  const points = range(9).map((i) => `${i * 40} ${(base + (random() - 0.5) * swing).toFixed(1)}`);
  return `M0 180L${points.join("L")}L320 180Z`;
}

function swell(base, height, length, shift) {
  const points = range(33).map((i) => `${i * 10} ${(base + height * Math.sin(i / length + shift)).toFixed(1)}`);
  return `M0 180L${points.join("L")}L320 180Z`;
}

function landscape(random, c) {
  const x = 60 + random() * 200;
  return [circle(x, 66, 60, c.pale, { opacity: 0.16 }), circle(x, 66, 34, c.pale, { opacity: 0.92 }),
    path(ridge(random, 96, 50), c.base, { opacity: 0.75 }), path(ridge(random, 120, 44), c.deep, { opacity: 0.85 }), path(ridge(random, 150, 26), c.dark)];
}

function space(random, c) {
  const [x, y, r] = [180 + random() * 90, 60 + random() * 60, 34 + random() * 20];
  return [...stars(random, c), circle(x, y, r * 1.5, c.light, { opacity: 0.14 }), circle(x, y, r, c.light), path(`M${x - r} ${y}a${r} ${r} 0 0 0 ${2 * r} 0a${r} ${r * 0.55} 0 0 1 ${-2 * r} 0`, c.deep, { opacity: 0.5 }),
    svg("ellipse", { cx: x, cy: y, rx: r * 1.9, ry: r * 0.42, fill: "none", stroke: c.pale, "stroke-width": 3.2, opacity: 0.8, transform: `rotate(${-24 + random() * 14} ${x} ${y})` }),
    circle(50 + random() * 60, 40 + random() * 50, 6 + random() * 7, c.pop)];
}

function board(random, c) {
  const rows = range(6).flatMap((row) => range(12).map((column) => {
    const [far, near] = [row / 6, (row + 1) / 6].map((share) => ({ y: 92 + 88 * share ** 1.6, spread: 0.45 + share * 0.95 }));
    const at = (side, edge) => `${(160 + (column + side - 6) * 46 * edge.spread).toFixed(1)} ${edge.y.toFixed(1)}`;
    return (row + column) % 2 ? path(`M${at(0, far)}L${at(1, far)}L${at(1, near)}L${at(0, near)}Z`, c.pale, { opacity: 0.8 }) : null;
  })).filter(Boolean);
  const x = 196 + random() * 36;
  const piece = (px, py, fill, scale) => svg("g", { transform: `translate(${px} ${py}) scale(${scale})` },
    oval(0, 6, 34, 7, "#000", { opacity: 0.35 }), path("M-28 6q-2 -14 12 -18h32q14 4 12 18Z", fill), path("M-17 -11q11 -16 9 -42h16q-2 26 9 42Z", fill), rect(-17, -58, 34, 7, fill, { rx: 3.5 }), circle(0, -72, 17, fill), oval(-6, -78, 5, 4, "#fff", { opacity: 0.35 }));
  return [rect(0, 92, 320, 88, c.dark), ...rows, piece(x, 158, c.pale, 1.35), piece(x - 105 - random() * 30, 128, c.dark, 0.8), piece(x + 50, 124, c.pop, 0.62)];
}

// Somebody who presents: half of all thumbnails on any video site.
export function host(random, c) {
  const [skin, hair, cloth] = [pick(random, ["#f3c9a5", "#d99a6c", "#a86a42", "#6f4128", "#f6d9bd"]), pick(random, ["#241c1a", "#5a3720", "#c98f3d", "#8c2f1b", "#e6e0da", "#2b2f52"]), pick(random, [c.pop, c.dark, c.light, "#f4f1ea"])];
  const [x, long, glasses, beard] = [248, random() < 0.4, random() < 0.3, random() < 0.25];
  const mouth = pick(random, [`M${x - 11} 113q11 12 22 0`, `M${x - 8} 113q8 17 16 0Z`, `M${x - 9} 116h18`]);
  const outline = { stroke: "#fff", "stroke-width": 5, "stroke-linejoin": "round", "paint-order": "stroke" };
  return [path(`M${x - 70} 190q4 -48 46 -52h48q42 4 46 52Z`, cloth, outline), long ? path(`M${x - 42} 150q-8 -108 42 -108t42 108Z`, hair, outline) : path(`M${x - 38} 96q-6 -56 38 -56t38 56Z`, hair, outline),
    rect(x - 13, 118, 26, 30, skin, { rx: 11 }), path(`M${x - 31} 84q0 -30 31 -30t31 30q0 50 -31 50t-31 -50Z`, skin), beard && !long ? path(`M${x - 31} 92q4 12 14 12q17 -8 34 0q10 0 14 -12q2 46 -31 46t-31 -46Z`, hair) : null,
    path(`M${x - 35} 88q0 -44 35 -44t35 44q-8 -22 -22 -26q-22 8 -38 2q-8 8 -10 24Z`, hair), ...[-12, 12].map((dx) => oval(x + dx, 93, 3.4, 4.4, "#201a18")), ...[-12, 12].map((dx) => line(`M${x + dx - 6} ${82 - random() * 4}q6 -4 12 0`, hair, 3)), line(mouth, "#8c2f2f", 3.2),
    glasses ? line(`M${x - 23} 93a11 11 0 1 0 22 0a11 11 0 1 0 -22 0M${x + 1} 93a11 11 0 1 0 22 0a11 11 0 1 0 -22 0`, "#17151a", 2.6) : null].filter(Boolean);
}

function dish(random, c) {
  const [x, y] = [190 + random() * 50, 104];
  const food = range(15).map(() => {
    const [angle, away] = [random() * 6.28, random() * 40];
    return circle(x + Math.cos(angle) * away, y + Math.sin(angle) * away * 0.9, 6 + random() * 12, pick(random, [c.pop, c.base, c.light, "#e94f37", "#f6c445", "#7fb069"]), { opacity: 0.95 });
  });
  const steam = range(3).map((i) => line(`M${x - 26 + i * 26} 40q-9 -11 0 -20t0 -20`, c.pale, 3.5, { opacity: 0.5 }));
  return [rect(0, 0, 320, 180, c.deep, { opacity: 0.3 }), circle(x, y, 78, "#000", { opacity: 0.18, transform: "translate(4 7)" }), circle(x, y, 76, "#fffaf2"), circle(x, y, 58, "#efe6d8"), ...food, ...steam,
    line("M52 60v92M42 60v26q0 9 10 9t10-9V60", c.pale, 5), line("M84 152V58q14 12 8 50h-8", c.pale, 5)];
}

function strings(random, c) {
  const [x, y] = [214 + random() * 24, 96];
  return [svg("g", { transform: `rotate(${-28 + random() * 12} ${x} ${y})` },
    path(`M${x - 30} ${y}c-4 -34 26 -40 40 -26s28 6 44 2c30 -6 30 60 0 54c-16 -4 -30 -12 -44 2s-44 8 -40 -32Z`, c.pop), path(`M${x - 18} ${y}c-2 -22 18 -28 30 -16s26 8 38 6c18 -4 18 36 0 32c-12 -2 -26 -6 -38 6s-32 2 -30 -28Z`, c.dark, { opacity: 0.25 }),
    rect(x - 210, y - 7, 226, 14, c.dark, { rx: 3 }), circle(x + 22, y, 13, c.dark), ...range(4).map((i) => line(`M${x - 210} ${y - 4.5 + 3 * i}H${x + 62}`, c.pale, 0.8)), ...range(9).map((i) => rect(x - 200 + i * 19, y - 7, 1.4, 14, c.light)), rect(x - 232, y - 12, 30, 24, c.deep, { rx: 5 })),
    ...range(4).map(() => line(`M${30 + random() * 120} ${24 + random() * 60}v-20l12 -4v20`, c.pale, 3, { opacity: 0.75 }))];
}

function bars(random, c) {
  return range(27).map((i) => {
    const tall = 10 + 120 * Math.abs(Math.sin(i * 0.45 + random() * 0.8)) * (0.35 + 0.65 * random());
    return rect(10 + i * 11.3, 92 - tall / 2, 7, tall, i % 5 === 2 ? c.pop : c.pale, { rx: 3.5, opacity: 0.9 });
  });
}

function leaves(random, c) {
  const stems = range(6).map((i) => {
    const [x, tall] = [24 + i * 54 + random() * 24, 70 + random() * 66];
    const sides = range(5).map((j) => oval(x + (j % 2 ? 13 : -13), 180 - tall + 14 + j * 20, 15, 7, pick(random, [c.light, c.base, c.pale]), { transform: `rotate(${j % 2 ? -32 : 32} ${x} ${180 - tall + 14 + j * 20})` }));
    const bloom = range(6).map((k) => circle(x + 9 * Math.cos(k * 1.047), 176 - tall + 9 * Math.sin(k * 1.047), 6.4, c.pop));
    return [line(`M${x} 180V${180 - tall}`, c.dark, 3), ...sides, ...(random() < 0.6 ? [...bloom, circle(x, 176 - tall, 5.5, c.pale)] : [])];
  });
  return [circle(262, 44, 26, c.pale, { opacity: 0.8 }), ...stems.flat(), path(swell(170, 4, 4, random() * 6), c.dark)];
}

function code(random, c) {
  const lines = range(9).flatMap((row) => {
    let x = 74 + 16 * Math.floor(random() * 4);
    return range(1 + Math.floor(random() * 4)).map(() => {
      const width = 14 + random() * 46;
      const word = rect(x, 52 + row * 13, Math.max(Math.min(width, 282 - x), 6), 6, pick(random, [c.pale, c.light, c.pop, c.base]), { rx: 3 });
      x = Math.min(x + width + 8, 270);
      return word;
    });
  });
  return [rect(38, 20, 262, 190, "#000", { rx: 12, opacity: 0.3, transform: "translate(3 6)" }), rect(38, 20, 262, 190, c.dark, { rx: 12 }), ...["#ff5f57", "#febc2e", "#28c840"].map((fill, i) => circle(56 + i * 14, 35, 4.2, fill)), ...lines];
}

function columns(random, c) {
  const pillars = range(4).map((i) => [rect(146 + i * 40, 76, 22, 78, c.pale), ...range(3).map((j) => rect(150 + i * 40 + j * 6, 80, 1.6, 70, c.base, { opacity: 0.5 })), rect(142 + i * 40, 70, 30, 8, c.pale), rect(142 + i * 40, 150, 30, 8, c.pale)]);
  return [circle(70 + random() * 40, 60, 30, c.light, { opacity: 0.75 }), path(ridge(random, 120, 30), c.deep, { opacity: 0.6 }), ...pillars.flat(), path("M132 68L216 28L300 68Z", c.pale), path("M156 62L216 34L276 62Z", c.base, { opacity: 0.7 }), rect(126, 158, 182, 22, c.dark), rect(0, 166, 320, 14, c.dark)];
}

function petals(random, c) {
  const sets = range(4).map(() => {
    const [x, y, r] = [60 + random() * 230, 20 + random() * 140, 22 + random() * 34];
    return range(8).map((k) => oval(x, y - r * 0.62, r * 0.26, r * 0.62, k % 2 ? c.light : c.pale, { opacity: 0.8, transform: `rotate(${k * 45 + 10} ${x} ${y})` })).concat(circle(x, y, r * 0.24, c.pop));
  });
  return [line(`M-10 ${60 + random() * 60}c90 -90 150 120 340 10`, c.pop, 22, { opacity: 0.8 }), line(`M-10 ${90 + random() * 60}c90 -90 150 120 340 10`, c.pale, 8, { opacity: 0.6 }), ...sets.flat()];
}

function pulse(random, c) {
  let d = "M-6 104";
  for (let x = 10; x < 320; x += 54 + random() * 16) d += `H${x.toFixed(0)}l7 -12l8 12h6l9 -${(44 + random() * 26).toFixed(0)}l11 ${(84 + random() * 20).toFixed(0)}l9 -52l6 12`;
  return [...range(4).map((i) => circle(214, 90, 30 + i * 30, "none", { stroke: c.pale, "stroke-width": 10, opacity: 0.2 - i * 0.035 })), line(d, c.dark, 9, { opacity: 0.35, transform: "translate(0 4)" }), line(d, c.pale, 5),
    svg("g", { transform: `rotate(-18 240 46)` }, rect(196, 42, 88, 8, c.dark, { rx: 4 }), ...[[200, 24], [212, 32], [258, 32], [270, 24]].map(([x, tall]) => rect(x, 46 - tall / 2, 10, tall, c.pop, { rx: 3 })))];
}

function planks(random, c) {
  const boards = range(6).map((i) => [rect(0, i * 30, 320, 29, i % 2 ? c.base : c.deep, { opacity: 0.75 }), ...range(3).map(() => line(`M${random() * 80} ${i * 30 + 4 + random() * 20}q80 ${(random() - 0.5) * 12} 220 0`, c.dark, 1.2, { opacity: 0.45 }))]);
  const knot = range(4).map((i) => oval(70, 62, 8 + i * 7, 4 + i * 3.5, "none", { stroke: c.dark, opacity: 0.5, "stroke-width": 1.5 }));
  const saw = svg("g", { transform: `rotate(${-16 + random() * 10} 200 96)` }, path(`M112 84h150v26l-150 10${range(18).map((i) => `l${i % 2 ? 4 : 4} ${i % 2 ? 6 : -6}`).join("")}Z`, c.pale), rect(256, 72, 46, 46, c.pop, { rx: 12 }), rect(268, 84, 22, 22, c.deep, { rx: 6 }));
  return [...boards.flat(), ...knot, saw];
}

function pixels(random, c) {
  const rows = range(8).flatMap((y) => range(6).flatMap((x) => {
    if (random() < 0.42 && !(x < 2 && y > 2 && y < 6)) return [];
    const fill = y === 3 && x === 2 ? c.dark : x + y < 4 ? c.pop : c.pale;
    return [x, 11 - x].map((column) => rect(142 + column * 12, 30 + y * 12, 12.3, 12.3, fill));
  }));
  const ground = range(14).map((i) => rect(i * 24, 156, 22, 24, i % 2 ? c.deep : c.dark));
  return [...range(12).map(() => rect(Math.floor(random() * 40) * 8, Math.floor(random() * 14) * 8, 8, 8, c.pale, { opacity: 0.35 })), ...rows, ...ground, rect(36, 118, 26, 26, "#ffd23f", { rx: 3 }), rect(46, 124, 6, 14, c.dark)];
}

function beams(random, c) {
  const lights = range(3).map((i) => path(`M${50 + i * 100} -6L${-30 + i * 120 + random() * 60} 190h${80 + random() * 40}Z`, c.pale, { opacity: 0.17 }));
  const x = 206 + random() * 30;
  return [rect(0, 0, 320, 180, c.dark, { opacity: 0.45 }), ...lights, rect(x - 62, 74, 118, 74, c.dark, { rx: 8 }), ...range(5).map((i) => path(`M${x - 58 + i * 24} 76h12l10 -18h-12Z`, i % 2 ? c.pop : c.pale, { transform: `rotate(-8 ${x - 60} 74)` })), rect(x - 62, 74, 118, 5, c.light), path(`M${x - 16} 94v38l32 -19Z`, c.pale)];
}

function atoms(random, c) {
  const [x, y] = [212 + random() * 30, 88];
  const turn = random() * 60;
  return [...stars(random, c, 22), ...range(3).map((i) => svg("ellipse", { cx: x, cy: y, rx: 88, ry: 30, fill: "none", stroke: c.pale, "stroke-width": 3, opacity: 0.8, transform: `rotate(${turn + i * 60} ${x} ${y})` })), circle(x, y, 32, c.pop, { opacity: 0.2 }), circle(x, y, 15, c.pop),
    ...range(3).map((i) => svg("g", { transform: `rotate(${turn + i * 60} ${x} ${y})` }, circle(x + 88 * Math.cos(i + random()), y + 30 * Math.sin(i + 1), 7, c.pale))), line(`M20 ${130}q20 -80 40 0t40 0t40 0`, c.light, 4, { opacity: 0.65 })];
}

function cat(random, c) {
  const x = 206 + random() * 40;
  const fur = pick(random, ["#2b2730", "#f2a65a", "#e9e2d8", "#8d8a94"]);
  const eye = (side) => [oval(x + side * 25, 88, 12, 13, "#d7f25c"), oval(x + side * 25, 88, 3.6, 11, "#17151a")];
  const whiskers = [-1, 1].flatMap((side) => range(3).map((i) => line(`M${x + side * 24} ${116 + i * 5}l${side * 44} ${-8 + i * 9}`, "#fff", 1.6, { opacity: 0.75 })));
  return [circle(60, 50, 26, c.pale, { opacity: 0.7 }), ...[0, 1, 2].map((i) => circle(62 + i * 20, 130 - i * 14, 6, c.pale, { opacity: 0.4 })), path(`M${x - 68} 190q-6 -86 2 -124l-2 -52l38 30q30 -8 60 0l38 -30l-2 52q8 38 2 124Z`, fur), path(`M${x - 60} 30l4 30l18 -14Z`, "#e58a8f"), path(`M${x + 60} 30l-4 30l-18 -14Z`, "#e58a8f"), ...eye(-1), ...eye(1), path(`M${x - 7} 108h14l-7 8Z`, "#e58a8f"), line(`M${x} 116q-10 12 -18 2M${x} 116q10 12 18 2`, "#17151a", 2), ...whiskers];
}

function road(random, c) {
  const lines = range(7).map((i) => line(`M0 ${104 + 76 * (i / 7) ** 2}H320`, c.pop, 1, { opacity: 0.3 }));
  const paint = pick(random, [c.pop, "#e8343f", "#f4f1ea", "#ffc531"]);
  const car = svg("g", { transform: `translate(${170 + random() * 26} 128)` }, oval(34, 26, 74, 8, "#000", { opacity: 0.4 }), path("M-34 20q-6 -22 14 -26l22 -4q16 -20 38 -20t42 22l16 6q10 4 6 22Z", paint), path("M8 -10q12 -14 24 -14v16Z M38 -24q18 0 30 18l-30 -2Z", c.dark, { opacity: 0.75 }), ...[-6, 72].map((x) => [circle(x, 20, 14, "#15151a"), circle(x, 20, 6, "#c9ccd2")]).flat());
  return [circle(84 + random() * 40, 88, 44, c.light, { opacity: 0.9 }), path(ridge(random, 96, 34), c.deep, { opacity: 0.8 }), rect(0, 104, 320, 76, c.dark), ...lines, ...range(6).map((i) => rect(-20 + i * 64, 164, 34, 4, c.pale, { opacity: 0.7 })), car];
}

function strokes(random, c) {
  const fills = [c.pop, c.pale, c.light, c.base, "#ffd23f", "#ef5da8"];
  const marks = range(9).map((i) => line(`M${-20 + random() * 140} ${14 + i * 19}q${60 + random() * 60} ${(random() - 0.5) * 70} ${180 + random() * 90} ${(random() - 0.5) * 40}`, fills[i % fills.length], 10 + random() * 16, { opacity: 0.82 }));
  const drops = range(14).map(() => circle(random() * 320, random() * 180, 1.5 + random() * 5, pick(random, fills)));
  return [rect(0, 0, 320, 180, "#fbf7ee", { opacity: 0.16 }), ...marks, ...drops, svg("g", { transform: `rotate(38 262 70)` }, rect(256, -30, 12, 96, c.dark, { rx: 5 }), rect(253, 60, 18, 16, "#c9ccd2"), path("M253 76h18q2 22 -9 36q-11 -14 -9 -36Z", c.pop))];
}

function chart(random, c) {
  let level = 130;
  const candles = range(15).map((i) => {
    const move = (random() - 0.4) * 30;
    const [from, to] = [level, Math.min(Math.max(level - move, 28), 150)];
    level = to;
    const [x, fill] = [34 + i * 18.5, to < from ? c.pale : c.pop];
    return [line(`M${x + 5} ${Math.min(from, to) - 9}V${Math.max(from, to) + 9}`, fill, 1.6), rect(x, Math.min(from, to), 10, Math.max(Math.abs(from - to), 3), fill, { rx: 2 })];
  });
  return [...range(5).map((i) => line(`M16 ${30 + i * 32}H304`, c.pale, 1, { opacity: 0.2 })), ...candles.flat(), path(swell(158, 8, 5, random() * 6), c.dark, { opacity: 0.6 })];
}

function lens(random, c) {
  const [x, y] = [216 + random() * 30, 90];
  const blades = range(7).map((i) => path(`M${x} ${y - 40}L${x + 34} ${y - 22}L${x + 10} ${y - 6}Z`, c.base, { opacity: 0.75, transform: `rotate(${i * 51.4} ${x} ${y})` }));
  const bokeh = range(13).map(() => circle(random() * 320, random() * 180, 6 + random() * 22, pick(random, [c.pale, c.pop, c.light]), { opacity: 0.12 + random() * 0.25 }));
  return [...bokeh, circle(x, y, 76, c.dark), circle(x, y, 64, "none", { stroke: c.pale, "stroke-width": 2, opacity: 0.5 }), circle(x, y, 50, c.deep), ...blades, circle(x, y, 17, c.dark), oval(x - 22, y - 26, 15, 8, "#fff", { opacity: 0.5, transform: `rotate(-40 ${x - 22} ${y - 26})` })];
}

function camp(random, c) {
  const trees = range(9).map((i) => {
    const [x, tall] = [i * 40 + random() * 20 - 8, 50 + random() * 40];
    return path(`M${x} ${140 - tall}l20 ${tall * 0.55}h-8l14 ${tall * 0.45}h-52l14 ${-tall * 0.45}h-8Z`, c.dark, { opacity: 0.55 + random() * 0.4 });
  });
  return [...stars(random, c, 30), circle(60 + random() * 40, 42, 17, c.pale), ...trees, rect(0, 138, 320, 42, c.dark), circle(132, 146, 46, "#ffb347", { opacity: 0.2 }), path("M196 152L238 86L280 152Z", c.pop), path("M226 152L238 104L250 152Z", c.dark, { opacity: 0.75 }), path("M132 118q20 22 8 36h-16q-12 -14 8 -36Z", "#ff9f1c"), path("M132 132q9 12 4 22h-8q-5 -10 4 -22Z", "#ffe066"), line("M112 158l40 -6M112 152l40 6", "#6b4226", 5)];
}

function pitch(random, c) {
  const x = 200 + random() * 60;
  return [...range(8).map((i) => rect(i * 40, 0, 40, 180, i % 2 ? c.base : c.deep, { opacity: 0.55 })), line("M-10 150H330M160 -10V150", c.pale, 3, { opacity: 0.65 }), circle(160, 92, 44, "none", { stroke: c.pale, "stroke-width": 3, opacity: 0.65 }), line(`M36 132q${60 + random() * 40} -110 ${x - 62} -46`, c.pop, 4, { "stroke-dasharray": "3 10" }), oval(x, 122, 30, 6, "#000", { opacity: 0.35 }), circle(x, 88, 30, "#fff"), path(`M${x} 76l11 8l-4 13h-14l-4 -13Z`, "#1b1b20"), ...range(5).map((i) => path(`M${x} 58l9 6l-4 7h-10l-4 -7Z`, "#1b1b20", { transform: `rotate(${i * 72} ${x} 88)` }))];
}

function hoop(random, c) {
  const [x, y] = [92 + random() * 70, 76 + random() * 30];
  const ball = [circle(x, y, 36, "#f0812e"), line(`M${x - 36} ${y}h72M${x} ${y - 36}v72M${x - 26} ${y - 25}q22 25 0 50M${x + 26} ${y - 25}q-22 25 0 50`, "#5b2a0c", 2.4)];
  const net = range(6).map((i) => line(`M${222 + i * 12} 92l${(2.5 - i) * 3} 44M${222 + i * 12} 92l${(3.5 - i) * 7} 30`, c.pale, 1.4, { opacity: 0.85 }));
  return [rect(196, 18, 112, 78, c.pale, { rx: 5, opacity: 0.92 }), rect(232, 46, 42, 34, "none", { stroke: c.pop, "stroke-width": 4 }), ...net, oval(252, 92, 36, 7, "none", { stroke: "#e8452c", "stroke-width": 5 }), line(`M18 170Q${x} -10 252 86`, c.pale, 3, { "stroke-dasharray": "2 9", opacity: 0.7 }), ...ball];
}

function glyphs(random, c) {
  const letters = ["Ñ", "ß", "é", "Ж", "ø", "λ", "ç", "Ω", "¿", "Я", "å", "ψ"];
  const bubble = (x, y, fill, text, size) => [rect(x, y, size * 1.9, size * 1.45, fill, { rx: 16 }), path(`M${x + 20} ${y + size * 1.4}l-4 20l24 -20Z`, fill), svg("text", { x: x + size * 0.95, y: y + size * 0.76, "font-size": size, "text-anchor": "middle", "dominant-baseline": "central", fill: c.dark, class: "art-glyph" }, text)];
  return [...range(16).map(() => svg("text", { x: random() * 320, y: 20 + random() * 160, "font-size": 12 + random() * 22, fill: c.pale, opacity: 0.22, class: "art-glyph" }, pick(random, letters))), ...bubble(176, 18, c.pale, pick(random, letters), 58), ...bubble(104, 96, c.pop, pick(random, letters), 36)];
}

function burst(random, c) {
  const [x, y] = [190 + random() * 60, 86];
  const rays = range(18).map((i) => path(`M${x} ${y}L${x + 320 * Math.cos(i * 0.349)} ${y + 320 * Math.sin(i * 0.349)}L${x + 320 * Math.cos(i * 0.349 + 0.17)} ${y + 320 * Math.sin(i * 0.349 + 0.17)}Z`, c.pale, { opacity: 0.26 }));
  const open = 12 + random() * 16;
  return [...rays, circle(x, y, 52, "#ffd23f"), circle(x - 18, y - 12, 6.5, "#2a2118"), circle(x + 18, y - 12, 6.5, "#2a2118"), path(`M${x - 28} ${y + 8}h56q-4 ${open + 14} -28 ${open + 14}t-28 ${-open - 14}Z`, "#2a2118"), path(`M${x - 14} ${y + 16 + open * 0.5}q14 -8 28 0q-6 10 -14 10t-14 -10Z`, "#f25f5c")];
}

function sail(random, c) {
  const layers = range(4).map((i) => path(swell(112 + i * 18, 6, 3.2 + random(), random() * 6), [c.light, c.base, c.deep, c.dark][i], { opacity: 0.85 }));
  const x = 206 + random() * 50;
  const boat = [path(`M${x - 34} 112h72l-14 20h-46Z`, c.dark), path(`M${x} 32v74h-38Z`, "#fff"), path(`M${x + 5} 44v62h30Z`, c.pop)];
  return [circle(72 + random() * 50, 62, 27, c.pale, { opacity: 0.95 }), ...range(3).map((i) => oval(40 + i * 110 + random() * 40, 26 + random() * 20, 30, 7, c.pale, { opacity: 0.4 })), ...boat, ...layers.slice(0, 4)];
}

function hearts(random, c) {
  return range(15).map(() => {
    const [x, y, s] = [random() * 320, random() * 180, 0.8 + random() * 2.6];
    return path("M0 8C-16 -6 -9 -17 0 -9C9 -17 16 -6 0 8Z", pick(random, [c.pale, c.pop, c.light]), { opacity: 0.45 + random() * 0.5, transform: `translate(${x} ${y}) scale(${s}) rotate(${(random() - 0.5) * 30})` });
  });
}

function city(random, c) {
  const towers = range(12).flatMap((i) => {
    const [x, tall, wide] = [i * 28 - 6, 40 + random() * 96, 24 + random() * 10];
    const windows = range(Math.floor(tall / 14)).flatMap((row) => range(3).map((column) => (random() < 0.5 ? rect(x + 4 + column * 7, 184 - tall + row * 13, 3.6, 6, "#ffe39a", { opacity: 0.85 }) : null)));
    return [rect(x, 178 - tall, wide, tall + 4, i % 2 ? c.dark : c.deep), ...windows.filter(Boolean)];
  });
  return [...stars(random, c, 20), circle(240 + random() * 40, 44, 22, c.pale, { opacity: 0.9 }), ...towers];
}

// Motifs with writing or a direction are never mirrored; motifs with a face of their own need no presenter.
export const UPRIGHT = new Set(["glyphs", "code", "beams"]);
export const FACES = new Set(["cat", "burst"]);

export const MOTIFS = {
  landscape, space, board, dish, strings, bars, leaves, code, columns, petals, pulse, planks, pixels, beams, atoms, cat, road, strokes,
  chart, lens, camp, pitch, hoop, glyphs, burst, sail, hearts, city,
};

// Words in a category's name → hue, second hue (as a turn from the first) and motif.
const SUBJECTS = [
  [/chess|board game/i, 262, 40, "board"], [/cook|food|recipe|bak/i, 18, 24, "dish"], [/space|astro|sci-?fi/i, 246, 50, "space"], [/football|soccer|sport/i, 138, 30, "pitch"],
  [/guitar/i, 32, -24, "strings"], [/music|song|radio/i, 322, 50, "bars"], [/garden|nature|plant/i, 108, 40, "leaves"], [/program|code|software|tech/i, 222, -40, "code"],
  [/histor|war|classic/i, 36, 16, "columns"], [/makeup|beauty|fashion/i, 340, 30, "petals"], [/travel|adventure|western/i, 192, 24, "sail"], [/fitness|health|workout/i, 4, 26, "pulse"],
  [/wood|craft|diy/i, 28, 16, "planks"], [/gam(e|ing)/i, 280, -50, "pixels"], [/movie|film|drama|noir|cinema/i, 230, 130, "beams"], [/physic|scien|chem/i, 200, 60, "atoms"],
  [/cat|pet|animal|child/i, 52, -24, "cat"], [/car|motor|auto|action/i, 12, -60, "road"], [/paint|art|animation|fantasy/i, 300, 70, "strokes"], [/econom|finance|business|news/i, 168, 40, "chart"],
  [/photo/i, 208, 30, "lens"], [/camp|hik|outdoor/i, 158, 60, "camp"], [/basket/i, 24, -30, "hoop"], [/language|word|documentary/i, 176, 30, "glyphs"], [/comedy|fun/i, 44, -20, "burst"],
  [/romance|love/i, 348, 20, "hearts"], [/crime|thriller|mystery|horror|city/i, 256, -30, "city"], [/mountain/i, 212, 40, "landscape"],
];

export function named(category) {
  const found = SUBJECTS.find(([words]) => words.test(category));
  return found && { hue: found[1], turn: found[2], motif: found[3] };
}
