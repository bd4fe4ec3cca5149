// How neurons are coloured: each way has what it is called and says how to fill a cell.
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const GREY = [150, 155, 163]; // of categories that have no colour of their own
const css = ([r, g, b]) => `rgb(${r},${g},${b})`;

function ramp(place) {
  const at = Math.max(0, Math.min(1, place)) * (RAMP.length - 1);
  const low = Math.min(RAMP.length - 2, Math.floor(at));
  return RAMP[low].map((one, i) => Math.round(one + (at - low) * (RAMP[low + 1][i] - one)));
}

function inkOn([r, g, b]) {
  const part = (one) => ((one / 255 + 0.055) / 1.055) ** 2.4;
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) > 0.26 ? "#22252b" : "#ffffff";
}

const MEASURES = {
  hits: ["Hits", "samples that the neuron won"],
  error: ["Quantization error", "mean distance of its samples to the prototype"],
  torn: ["Topographic error", "share of its samples whose second neuron is not linked"],
  height: ["U-height", "mean distance of its prototype to the linked ones"],
  density: ["Density", "hits per U-height"],
  novelty: ["Novelty", "mean of its samples: the lower, the stranger"],
  birth: ["Age", "epoch of birth"],
};
if (!maps.some((map) => map.values.novelty)) delete MEASURES.novelty;
const valuesOf = (map, name) => map.values[name] ?? new Float64Array(map.n).fill(NaN);

const ways = new Map();
const add = (id, group, name, way) => ways.set(id, { id, group, name, ...way });

if (kind === "few" && !grouped) {
  // Names that no cell has place for are numbers there, which the legend explains.
  const numbered = labelNames.some((name) => name.length > 9);
  add("label", "Map", "Label", {
    kind: "categories",
    names: () => labelNames,
    entries: (names) => (numbered ? names.map((name, i) => `${i + 1} · ${name}`) : names),
    palette: () => told.labels.palette,
    of: (map) => map.labels,
    text: (map, k) => (numbered && map.labels[k] >= 0 ? String(map.labels[k] + 1) : labelOf(map, k)),
  });
} else if (kind === "values") {
  add("label", "Map", "Answer", { kind: "number", about: "what the neuron answers", of: (map) => map.labels });
}
if (told.image) add("images", "Map", "Prototype images", { kind: "images" });
if (told.classes.length) {
  add("pies", "Map", "Class shares", { kind: "pies", names: () => told.classes, palette: () => told.palette });
}
add("similarity", "Map", "Similarity of prototypes", { kind: "rgb", about: "like colours are like prototypes" });
for (const [name, [text, about]] of Object.entries(MEASURES)) {
  add(name, "Measures", text, { kind: "number", of: (map) => valuesOf(map, name), about });
}
add("clusters", "Map", "Clusters", {
  kind: "categories", palette: () => state.groups.list.map(colourOf), names: () => state.groups.list.map(nameOfGroup),
  entries: (names) => (lettered() ? names.map((name, i) => `${letter(i)} · ${name}`) : names), of: groupsOf,
  text: (map, k) => (lettered() ? letter(groupsOf(map)[k]) : state.groups.list[groupsOf(map)[k]].name),
});
// Of the columns beside the samples: the mean over a neuron's samples in this page, or the value that most of them have.
function meanOf(map, { values }, k) {
  const known = samplesOf(map, k).map((i) => values[i]).filter(Number.isFinite);
  return known.reduce((a, b) => a + b, 0) / known.length; // NaN of none
}
function mostOf(map, { codes }, k) {
  const counts = new Map();
  for (const i of samplesOf(map, k)) if (codes[i]) counts.set(codes[i], (counts.get(codes[i]) ?? 0) + 1);
  return [...counts].reduce((best, one) => (one[1] > best[1] || (one[1] === best[1] && one[0] < best[0]) ? one : best), [0, 0])[0] - 1;
}
samples.beside.forEach((column, at) => {
  if (!column.names) {
    add(`beside ${at}`, "Beside the samples", column.name, { kind: "number", of: (map) => Float64Array.from({ length: map.n }, (_, k) => meanOf(map, column, k)), about: `mean of ${column.name} over its samples` });
    return;
  }
  const most = told.colours.length; // as many as can be told apart, else one grey for the rarer ones
  const few = column.names.length <= most;
  const names = 2 * column.names.length > samples.n; // of samples, not of groups of them
  const first = few ? column.names : column.names.slice(0, names ? 0 : most - 1);
  const found = new Map();
  add(`beside ${at}`, "Beside the samples", column.name, {
    kind: "categories",
    names: () => (few ? first : [...first, `${column.names.length - first.length} ${names ? "values" : "others"}: “Find samples” finds each`]),
    palette: () => [...told.colours.slice(0, first.length), GREY],
    of: (map) => {
      if (!found.has(map)) found.set(map, Array.from({ length: map.n }, (_, k) => mostOf(map, column, k)));
      return found.get(map).map((one) => Math.min(one, first.length));
    },
    text: (map, k) => (names ? "" : column.names[found.get(map)[k]] ?? ""),
  });
});
told.classes.forEach((name, i) => add(`class ${i}`, "Share of class", `Share of ${name}`, {
  kind: "number", low: 0, bounded: true,
  of: (map) => Float64Array.from({ length: map.n }, (_, k) => (map.values.hits[k] ? map.shares[k * told.classes.length + i] : NaN)),
  about: `share of class ${name} among its samples`,
}));
told.features.forEach((name, i) => add(`feature ${i}`, "Variable", name, {
  kind: "number", bounded: name.includes("="), of: (map) => map.prototypes.column(i), about: `${name} of the prototypes`,
}));

// The colour [r, g, b] of each neuron, null for no value; with the ends of the scale.
function filled(way, map) {
  if (way.kind === "rgb" || way.kind === "images" || way.kind === "pies") {
    const colours = Array.from({ length: map.n }, (_, k) => [...map.rgb.slice(3 * k, 3 * k + 3)]);
    return { colours: way.kind === "rgb" ? colours : colours.map(() => null) };
  }
  const values = way.of(map);
  if (way.kind === "categories") {
    const palette = way.palette(map);
    return { colours: Array.from(values, (one) => (one >= 0 ? palette[one % palette.length] : null)), values };
  }
  const ends = endsOf(values, way);
  const { low, high } = ends;
  const span = high - low || 1;
  return { colours: Array.from(values, (one) => (Number.isFinite(one) ? ramp((one - low) / span) : null)), ...ends, values };
}

// The ends of a scale and of its values: extreme ones are beyond it, as robust_ends has them. Shares and
// categories (bounded) have natural ends.
function endsOf(values, { low: bottom, bounded }) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  const last = sorted.length - 1;
  const [least, greatest] = [bottom ?? sorted[0], sorted[last]];
  const [low, high] = [sorted[Math.ceil(0.1 * last)], sorted[Math.floor(0.9 * last)]];
  const span = 2 * (high - low);
  if (bounded || last < 7 || !(span > 0)) return { low: least, high: greatest, least, greatest };
  return { low: bottom ?? sorted.find((one) => one >= low - span), high: sorted.findLast((one) => one <= high + span), least, greatest };
}

function legend(box, way, fill, map) {
  box.replaceChildren();
  const swatch = (colour, text, name, act) => make("button", { type: "button", class: "entry", title: `Compare ${name} with the rest`, onclick: act }, make("i", { style: `background:${css(colour)}` }), text);
  if (way.kind === "number") {
    if (!(fill.low <= fill.high)) { box.append("No neuron has a value."); return; }
    const bar = make("canvas", { width: 160, height: 1, "aria-hidden": "true" });
    const pen = bar.getContext("2d");
    for (let x = 0; x < 160; x++) { pen.fillStyle = css(ramp(x / 159)); pen.fillRect(x, 0, 1, 1); }
    const step = (fill.high - fill.low) / 1000;
    const [below, above] = [fill.least < fill.low, fill.greatest > fill.high];
    const arrow = (way, colour) => make("i", { class: `arrow ${way}`, style: `background:${css(colour)}` });
    box.append(make("span", {}, shown(fill.low, step), ...(below ? [arrow("down", RAMP[0])] : []), bar, ...(above ? [arrow("up", RAMP[RAMP.length - 1])] : []), shown(fill.high, step)));
    if (below || above) {
      const [beyond, some] = [fill.values.filter((one) => one < fill.low || one > fill.high).length, [...(below ? [`down to ${shown(fill.least, step)}`] : []), ...(above ? [`up to ${shown(fill.greatest, step)}`] : [])]];
      box.append(make("span", { class: "hint" }, `${beyond} neuron${beyond === 1 ? "" : "s"} beyond the scale, ${some.join(" and ")}`));
    }
    box.append(make("span", { class: "hint" }, way.about));
    if (fill.colours.some((colour, k) => !colour && map.values.hits[k])) box.append(make("span", {}, make("i", { class: "hatch" }), "no value"));
  } else if (way.kind === "categories" || way.kind === "pies") {
    const palette = way.palette(map);
    const names = way.names(map);
    const entries = way.entries ? way.entries(names) : names;
    names.slice(0, 60).forEach((name, i) => box.append(swatch(palette[i % palette.length], entries[i], name, () => chooseEntry(map, way, fill, i, name))));
  } else if (way.about) {
    box.append(make("span", { class: "hint" }, way.about));
  }
  if (map.values.hits.includes(0)) box.append(make("span", {}, make("i", { class: "hatch" }), "no hits"));
}

const SHADES = { low: Infinity, high: -Infinity };
function shadesOfImages() {
  if (SHADES.low === Infinity) {
    for (const map of maps) for (let k = 0; k < map.n; k++) for (let i = 0; i < map.prototypes.columns; i++) {
      const one = map.prototypes.at(k, i);
      if (Number.isFinite(one)) { SHADES.low = Math.min(SHADES.low, one); SHADES.high = Math.max(SHADES.high, one); }
    }
  }
  return SHADES;
}

// The first `rows` rows of a table as pictures on one sheet: a canvas for each makes drawing slow.
const SHEET = 4096; // pixels from left to right
function sheetOf(of, rows) {
  const [height, width] = told.image;
  const across = Math.max(1, Math.min(rows, Math.floor(SHEET / width)));
  const sheet = make("canvas", { width: across * width, height: Math.ceil(rows / across) * height });
  const pen = sheet.getContext("2d");
  const pixels = pen.createImageData(sheet.width, sheet.height);
  const part = (row) => ({ sheet, left: (row % across) * width, top: Math.floor(row / across) * height, width, height });
  const { low, high } = shadesOfImages();
  for (let row = 0; row < rows; row++) {
    const { left, top } = part(row);
    for (let i = 0; i < width * height; i++) {
      const one = of.at(row, i);
      const shade = 255 - Math.round(255 * Math.max(0, Math.min(1, (one - low) / (high - low || 1))));
      pixels.data.set(Number.isNaN(one) ? [120, 160, 220, 255] : [shade, shade, shade, 255], 4 * ((top + Math.floor(i / width)) * sheet.width + left + (i % width)));
    }
  }
  pen.putImageData(pixels, 0, 0);
  return part;
}

const images = new Map(); // of the prototypes of a map, drawn once
function imageOf(map, neuron) {
  if (!images.has(map)) images.set(map, sheetOf(map.prototypes, map.n));
  return images.get(map)(neuron);
}
