// The neuron that is looked at, in words and pictures.
const MOST = { bars: 12, near: 5, classes: 6, rows: 400, lines: 40, others: 150 };
let allBars = false;

function inWords(map, k) {
  const parts = [nameOf(map, k)];
  if (tellsLabel(map, k)) parts.push(`label ${toldLabel(map, k)}`);
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
    box.append(make("button", { type: "button", onclick: () => descend(panel, k) }, "Open its child map"));
  }
  const facts = make("dl");
  const fact = (name, text) => facts.append(make("dt", {}, name), make("dd", {}, text));
  if (tellsLabel(map, k)) fact(kind === "values" ? "Answer" : "Label", toldLabel(map, k));
  if (!grouped && byId("clusters").open) fact("Cluster", toldGroup(map, k));
  for (const name of Object.keys(MEASURES)) {
    if (name !== "birth" && map.values[name]) fact(MEASURES[name][0], shown(map.values[name][k]));
  }
  const parent = map.parents[k];
  fact("Born", parent < 0 ? "at the start" : `in epoch ${map.values.birth[k]}, beside neuron ${parent}`);
  box.append(facts);
  if (map.shares && map.values.hits[k]) box.append(make("h3", {}, "Classes"), classBars(map, k));
  const why = whyOther(map, k);
  if (why) box.append(make("p", { class: "hint" }, why));
  box.append(make("h3", {}, "Prototype"), told.image ? enlarged(imageOf(map, k), 96, `Prototype of neuron ${k}`) : valuesTold(map, k));
  box.append(make("h3", {}, "Nearest samples"), nearest(map, k));
  box.append(make("h3", {}, "Neighbours"), neighbours(map, k));
  markPlanes();
  drawProfile(map, k); // the last one: it asks for sizes, and what changes afterwards is laid out once more
}

function enlarged({ sheet, left, top, width, height }, size, text) {
  const by = size / Math.max(width, height);
  const style = `width:${by * width}px;height:${by * height}px`;
  const shownAs = make("canvas", { width, height, style, class: "image", role: "img", "aria-label": text });
  shownAs.getContext("2d").drawImage(sheet, -left, -top);
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
  const parts = told.classes.map((name, i) => [map.shares[k * width + i], name, i]).filter(([part]) => part > 0);
  parts.sort((a, b) => b[0] - a[0]);
  for (const [part, name, i] of parts.slice(0, MOST.classes)) {
    box.append(make("span", {}, name), bar(part, told.palette[i]), make("span", { class: "value" }, `${Math.round(100 * part)} %`));
  }
  return box;
}

// Why a neuron answers another class than most of its samples have; nothing where it does not.
function whyOther(map, k) {
  if (what !== "classes" || kind === "values" || Number.isNaN(map.labels[k])) return "";
  const label = labelNames[map.labels[k]];
  if (!map.values.hits[k]) return `It won no samples: it answers ${label} because of those of the neurons around it.`;
  if (!map.shares) return "";
  const shares = told.classes.map((_, i) => map.shares[k * told.classes.length + i]);
  const first = shares.indexOf(Math.max(...shares));
  if (!shares[first] || (shares[told.classes.indexOf(label)] ?? 0) === shares[first]) return "";
  const own = samplesOf(map, k).filter((i) => samples.codes[i]);
  const count = own.filter((i) => samples.codes[i] === first + 1).length;
  const part = own.length && samples.n === samples.all ? `${count} of its ${own.length} samples are` : `${Math.round(100 * shares[first])} % of its samples are`;
  return `It answers ${label} although ${part} ${told.classes[first]}: training samples of the neurons around it count, too.`;
}

const rangesOf = (map) => told.features.map((_, i) => map.prototypes.range(i));

// The values of a prototype as bars or, with `lines`, as parallel coordinates.
let lines = false;
let profiled = []; // the variables that the lines cross

function valuesTold(map, k) {
  const spans = rangesOf(map);
  const place = (i, value) => (value - spans[i].low) / (spans[i].high - spans[i].low || 1);
  let rows = told.features.map((name, i) => ({ name, i, value: map.prototypes.at(k, i) }));
  const many = rows.length > MOST.bars;
  if (many && !allBars) {
    const apart = ({ i, value }) => Math.abs(value - spans[i].mean) / (spans[i].spread || Infinity) || 0;
    rows = rows.sort((a, b) => apart(b) - apart(a)).slice(0, MOST.bars);
    if (lines) rows.sort((a, b) => a.i - b.i);
  }
  rows = rows.slice(0, MOST.rows);
  profiled = lines ? rows.map(({ i }) => i) : [];
  const box = make("div", { class: lines ? "bars profile" : "bars" });
  if (lines) box.append(make("canvas", { id: "profile", "aria-hidden": "true", style: `grid-row:1 / span ${rows.length}` }));
  for (const { name, i, value } of rows) {
    box.append(make("span", { class: "name", title: name }, name), ...(lines ? [] : [bar(place(i, value), null, place(i, spans[i].mean))]),
      make("span", { class: "value" }, shown(value, (spans[i].high - spans[i].low) / 65000)));
  }
  const which = many && !allBars ? "The most unusual variables. " : "";
  const about = lines ? "The thick line is this neuron; grey ones are other neurons, thin ones its nearest samples." : "The mark is the mean of all neurons.";
  const again = (text, act) => make("button", { type: "button", class: "quiet", onclick: () => { act(); tellNeuron(); } }, text);
  const whole = make("div", {}, box, make("p", { class: "hint" }, which + about), again(lines ? "As bars" : "As lines", () => { lines = !lines; }));
  if (many) whole.append(again(allBars ? "Only the most unusual" : `All ${told.features.length}`, () => { allBars = !allBars; }));
  return whole;
}

function drawProfile(map, k) {
  const canvas = byId("profile");
  if (!canvas) return;
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = Math.min(window.devicePixelRatio || 1, 16000 / h);
  [canvas.width, canvas.height] = [w * ratio, h * ratio];
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.lineJoin = "round";
  const own = nearestOf(samplesOf(map, k).filter((i) => valuedAt.has(i)), MOST.lines);
  const ends = profiled.map((i) => {
    const { low, high } = rangesOf(map)[i];
    const of = samples.table.range(i);
    return [Math.min(low, of.low), Math.max(high, of.high)];
  });
  const tall = h / profiled.length;
  const points = (of, row) => profiled.map((i, at) => {
    const [low, high] = ends[at];
    return [4 + ((w - 8) * (of.at(row, i) - low)) / (high - low || 1), (at + 0.5) * tall];
  });
  const across = (found, colour, width, opaque) => { // all of one kind in one stroke
    pen.beginPath();
    for (const line of found) line.forEach(([x, y], at) => {
      if (Number.isFinite(x)) pen[at && Number.isFinite(line[at - 1][0]) ? "lineTo" : "moveTo"](x, y);
    });
    [pen.strokeStyle, pen.lineWidth, pen.globalAlpha] = [colour, width, opaque];
    pen.stroke();
  };
  for (let at = 0; at < profiled.length; at++) {
    pen.fillStyle = paint.faint;
    pen.fillRect(4, (at + 0.5) * tall - 0.5, w - 8, 1);
  }
  const every = Math.ceil(map.n / MOST.others);
  const others = Array.from({ length: Math.ceil(map.n / every) }, (_, i) => points(map.prototypes, i * every));
  across(others, paint.muted, 1, 0.45);
  across(own.map((sample) => points(samples.table, valuedAt.get(sample))), paint.link, 1, 0.6);
  const bold = points(map.prototypes, k);
  across([bold], paint.accent, 2.5, 1);
  pen.fillStyle = paint.accent;
  for (const [x, y] of bold) pen.fillRect(x - 2.5, y - 2.5, 5, 5);
}

function sampleItem(sample) {
  const row = valuedAt.get(sample);
  const item = make("div");
  if (told.image && row !== undefined) item.append(enlarged(sheetOf({ at: (_, i) => samples.table.at(row, i) }, 1)(0), 26, `Sample ${idOf(sample)}`));
  item.append(make("button", { type: "button", class: "quiet", onclick: () => goTo(sample) }, idOf(sample)));
  if (samples.codes && samples.codes[sample]) item.append(told.classes[samples.codes[sample] - 1]);
  if (samples.y) item.append(shown(samples.y[sample]));
  item.append(make("span", { class: "value" }, shown(samples.distances[sample])));
  const beside = samples.beside.map((column) => [column.name, cellOf(column, sample)]).filter(([, cell]) => cell && !` ${idOf(sample)} `.includes(` ${cell} `));
  if (!beside.length) return item;
  const text = beside.map((pair) => pair.join(": ")).join(" · ");
  return make("div", { class: "sample" }, item, make("p", { class: "hint", title: text }, text));
}

function nearest(map, k) {
  const own = samplesOf(map, k);
  if (!own.length) return make("p", { class: "hint" }, map.values.hits[k] ? "None of its samples is in this page." : "It won none.");
  const box = make("div", { class: "items" });
  for (const sample of nearestOf(own, MOST.near)) box.append(sampleItem(sample));
  return box;
}

// The `most` samples with the least distance, nearest first; some neurons have so many that sorting takes a frame.
function nearestOf(own, most) {
  const found = [];
  for (const sample of own) {
    const distance = samples.distances[sample];
    if (found.length === most && !(distance < samples.distances[found[most - 1]])) continue;
    let at = found.length;
    while (at && distance < samples.distances[found[at - 1]]) at -= 1;
    found.splice(at, 0, sample);
    found.length = Math.min(found.length, most);
  }
  return found;
}

function neighbours(map, k) {
  const box = make("div", { class: "items" });
  for (const [other, distance] of [...map.beside[k]].sort((a, b) => a[1] - b[1])) {
    const text = `Neuron ${other}${kind === "few" && labelOf(map, other) !== null ? ` · ${toldLabel(map, other)}` : ""}`;
    box.append(make("div", {}, make("button", { type: "button", class: "quiet", onclick: () => pin(panel, other) }, text), make("span", { class: "value" }, shown(distance))));
  }
  return box.children.length ? box : make("p", { class: "hint" }, "It is linked with none.");
}

// Looks at the neuron that a sample passes on the map.
function goTo(sample) {
  const neuron = unitsOf(panel.map)[sample];
  light([sample], `Sample ${idOf(sample)}`);
  byId("selection").hidden = true; // of one sample there is nothing to compare
  if (neuron >= 0) pin(panel, neuron);
}
