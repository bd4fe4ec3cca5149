// The neuron that is looked at, in words and pictures.
const MOST = { bars: 12, near: 5, classes: 6 };
let allBars = false;

function inWords(map, k) {
  const label = labelOf(map, k);
  const parts = [nameOf(map, k)];
  if (label !== null && told.labels.kind !== "many") parts.push(`label ${label}`);
  parts.push(`${shown(map.values.hits[k])} hits`);
  if (map.values.hits[k]) parts.push(`mean distance ${shown(map.values.error[k])}`);
  if (map.child[k] >= 0) parts.push("has a child map");
  return `${parts.join(", ")}.`;
}

function tellNeuron() {
  state.told = state.at;
  const { map, neuron: k } = state.at;
  const box = byId("neuron-told");
  byId("neuron-title").textContent = nameOf(map, k);
  box.replaceChildren();
  if (map.child[k] >= 0) {
    box.append(make("button", { type: "button", onclick: () => descend(panelOf(map), k) }, "Open its child map"));
  }
  const facts = make("dl");
  const fact = (name, text) => facts.append(make("dt", {}, name), make("dd", {}, text));
  const label = labelOf(map, k);
  if (label !== null && told.labels.kind !== "many") fact(told.labels.kind === "values" ? "Answer" : "Label", label);
  for (const name of Object.keys(MEASURES)) {
    if (name !== "birth") fact(MEASURES[name][0], shown(map.values[name][k]));
  }
  const parent = map.parents[k];
  fact("Born", parent < 0 ? "at the start" : `in epoch ${map.values.birth[k]}, beside neuron ${parent}`);
  box.append(facts);
  if (map.shares && map.values.hits[k]) box.append(make("h3", {}, "Classes"), classBars(map, k));
  box.append(make("h3", {}, "Prototype"), told.image ? enlarged(imageOf(map, k), 96, `Prototype of neuron ${k}`) : valueBars(map, k));
  box.append(make("h3", {}, "Nearest samples"), nearest(map, k));
  box.append(make("h3", {}, "Neighbours"), neighbours(map, k));
  for (const plane of document.querySelectorAll(".plane")) markPlane(plane);
}

function enlarged(picture, size, text) {
  const shownAs = make("canvas", { width: picture.width, height: picture.height, class: "image", role: "img", "aria-label": text });
  const by = size / Math.max(picture.width, picture.height);
  shownAs.style.width = `${by * picture.width}px`;
  shownAs.style.height = `${by * picture.height}px`;
  shownAs.getContext("2d").drawImage(picture, 0, 0);
  return shownAs;
}

function bar(part, colour, mark) {
  const track = make("span", { class: "track", "aria-hidden": "true" });
  const within = (one) => `${100 * Math.max(0, Math.min(1, one))}%`;
  if (Number.isFinite(part)) track.append(make("b", { style: `width:${within(part)};${colour ? `background:${css(colour)}` : ""}` }));
  if (mark !== undefined && Number.isFinite(mark)) track.append(make("u", { style: `left:${within(mark)}` }));
  return track;
}

function classBars(map, k) {
  const box = make("div", { class: "bars" });
  const width = told.classes.length;
  const parts = told.classes.map((name, i) => [map.shares[k * width + i] / 255, name, i]).filter(([part]) => part > 0);
  parts.sort((a, b) => b[0] - a[0]);
  for (const [part, name, i] of parts.slice(0, MOST.classes)) {
    box.append(make("span", {}, name), bar(part, told.palette[i]), make("span", { class: "value" }, `${Math.round(100 * part)} %`));
  }
  return box;
}

const ranges = new Map(); // of each variable over the prototypes of a map: least, largest, mean, spread
function rangesOf(map) {
  if (!ranges.has(map)) {
    ranges.set(map, told.features.map((_, i) => {
      const values = map.prototypes.column(i).filter(Number.isFinite);
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
      return { low: values.reduce((a, b) => Math.min(a, b), Infinity), high: values.reduce((a, b) => Math.max(a, b), -Infinity), mean, spread };
    }));
  }
  return ranges.get(map);
}

function valueBars(map, k) {
  const spans = rangesOf(map);
  const place = (i, value) => (value - spans[i].low) / (spans[i].high - spans[i].low || 1);
  let rows = told.features.map((name, i) => ({ name, i, value: map.prototypes.at(k, i) }));
  const many = rows.length > MOST.bars;
  if (many && !allBars) {
    const apart = ({ i, value }) => Math.abs(value - spans[i].mean) / (spans[i].spread || Infinity) || 0;
    rows = rows.sort((a, b) => apart(b) - apart(a)).slice(0, MOST.bars);
  }
  const box = make("div", { class: "bars" });
  for (const { name, i, value } of rows.slice(0, 400)) {
    box.append(make("span", { title: name }, name), bar(place(i, value), null, place(i, spans[i].mean)), make("span", { class: "value" }, shown(value)));
  }
  const whole = make("div", {}, box, make("p", { class: "hint" }, many && !allBars ? "The most unusual first; the mark is the mean of all neurons." : "The mark is the mean of all neurons."));
  if (many) {
    whole.append(make("button", { type: "button", class: "quiet", onclick: () => { allBars = !allBars; tellNeuron(); } }, allBars ? "Only the most unusual" : `All ${told.features.length}`));
  }
  return whole;
}

function sampleItem(sample) {
  const row = valuedAt.get(sample);
  const item = make("div");
  if (told.image && row !== undefined) item.append(enlarged(picture(samples.table, row), 26, `Sample ${idOf(sample)}`));
  item.append(make("button", { type: "button", class: "quiet", onclick: () => goTo(sample) }, idOf(sample)));
  if (samples.codes && samples.codes[sample]) item.append(told.classes[samples.codes[sample] - 1]);
  if (samples.y) item.append(shown(samples.y[sample]));
  item.append(make("span", { class: "value" }, shown(samples.distances[sample])));
  return item;
}

function nearest(map, k) {
  const own = samplesOf(map, k);
  if (!own.length) return make("p", { class: "hint" }, map.values.hits[k] ? "None of its samples is in this page." : "It won none.");
  const box = make("div", { class: "items" });
  const byDistance = Int32Array.from(own).sort((a, b) => samples.distances[a] - samples.distances[b]);
  for (const sample of byDistance.slice(0, MOST.near)) box.append(sampleItem(sample));
  return box;
}

function neighbours(map, k) {
  const box = make("div", { class: "items" });
  for (const [other, distance] of [...map.beside[k]].sort((a, b) => a[1] - b[1])) {
    const label = labelOf(map, other);
    const text = `Neuron ${other}${label !== null && told.labels.kind === "few" ? ` · ${label}` : ""}`;
    box.append(make("div", {}, make("button", { type: "button", class: "quiet", onclick: () => pin(panelOf(map), other) }, text), make("span", { class: "value" }, shown(distance))));
  }
  return box.children.length ? box : make("p", { class: "hint" }, "It is linked with none.");
}

const panelOf = (map) => (panels[state.active].map === map ? panels[state.active] : panels.find((one) => one.map === map) ?? panels[state.active]);

// Looks at the neuron that a sample passes on the map that was used last.
function goTo(sample) {
  const panel = panels[state.active];
  const neuron = unitsOf(panel.map)[sample];
  light([sample], `Sample ${idOf(sample)}`);
  if (neuron >= 0) pin(panel, neuron);
}
