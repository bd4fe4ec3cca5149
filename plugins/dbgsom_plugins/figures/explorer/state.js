// What the page knows, unpacked, and what the reader does to it.
const told = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function integers({ size, data }) {
  const text = atob(data);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  if (size === 1) return bytes;
  const view = new DataView(bytes.buffer);
  const found = new (size === 2 ? Uint16Array : Uint32Array)(bytes.length / size);
  for (let i = 0; i < found.length; i++) {
    found[i] = size === 2 ? view.getUint16(2 * i, true) : view.getUint32(4 * i, true);
  }
  return found;
}

// A table whose value (row, column) is a number, or NaN where there is none.
function table(packed) {
  const codes = integers(packed);
  const columns = packed.low.length;
  return {
    rows: packed.rows,
    columns,
    low: packed.low,
    high: packed.low.map((low, i) => low + (2 ** (8 * packed.size) - 2) * packed.step[i]),
    step: packed.step,
    at(row, column) {
      const code = codes[row * columns + column];
      return code ? packed.low[column] + (code - 1) * packed.step[column] : NaN;
    },
    column(column) {
      return Float64Array.from({ length: packed.rows }, (_, row) => this.at(row, column));
    },
  };
}

const numbers = (values) => Float64Array.from(values, (one) => (one === null ? NaN : one));

const models = [told]; // those of which maps are shown

const maps = models.flatMap((model, m) => model.maps.map((one) => ({ ...one, model: m }))).map((one) => {
  const pairs = integers(one.edges);
  const lengths = table(one.lengths);
  const cells = integers(one.cells);
  const beside = Array.from({ length: one.n }, () => []);
  for (let i = 0; i < pairs.length / 2; i++) {
    const [a, b] = [pairs[2 * i], pairs[2 * i + 1]];
    beside[a].push([b, lengths.at(i, 0)]);
    beside[b].push([a, lengths.at(i, 0)]);
  }
  return {
    ...one,
    x: numbers(one.x),
    y: numbers(one.y).map((y) => -y), // screens count downwards
    corners: one.corners.map(([x, y]) => [x, -y]),
    cell: (k) => [cells[2 * k] + one.first[0], cells[2 * k + 1] + one.first[1]],
    beside,
    values: Object.fromEntries(Object.entries(one.values).map(([name, all]) => [name, numbers(all)])),
    rgb: integers(one.rgb),
    shares: one.shares && integers(one.shares),
    prototypes: table(one.prototypes),
    joins: integers(one.joins),
    unit: null,
  };
});

const samples = {
  ...told.samples,
  rows: integers(told.samples.rows),
  on: models.map((model) => ({ // where they are, one model after the other
    leaf: integers(model.samples.leaf),
    distances: table(model.samples.distance).column(0),
    novel: model.samples.novelty && table(model.samples.novelty).column(0),
  })),
  valued: integers(told.samples.valued),
  table: table(told.samples.values),
  codes: told.samples.classes && integers(told.samples.classes),
  y: told.samples.targets && table(told.samples.targets).column(0),
};
const valuedAt = new Map();
samples.valued.forEach((sample, row) => valuedAt.set(sample, row));

const distanceOf = (map, sample) => samples.on[map.model].distances[sample];
const idOf = (sample) => (samples.ids ? samples.ids[sample] : String(samples.rows[sample]));

// Which neuron of a map each sample passes, -1 for none, and the samples of each neuron.
function unitsOf(map) {
  if (map.unit) return map.unit;
  const { leaf } = samples.on[map.model];
  const own = maps.filter((one) => one.model === map.model);
  const ofLeaf = new Int32Array(1 + own.reduce((most, one) => one.leaf.reduce((a, b) => Math.max(a, b), most), 0)).fill(-1);
  const under = (number, neuron) => {
    const one = maps[number];
    for (let k = 0; k < one.n; k++) {
      if (one.child[k] >= 0) under(one.child[k], neuron < 0 ? k : neuron);
      else ofLeaf[one.leaf[k]] = neuron < 0 ? k : neuron;
    }
  };
  under(maps.indexOf(map), -1);
  map.unit = Int32Array.from(leaf, (one) => ofLeaf[one]);
  map.of = Array.from({ length: map.n }, () => []);
  map.unit.forEach((neuron, sample) => neuron >= 0 && map.of[neuron].push(sample));
  return map.unit;
}

function samplesOf(map, neuron) {
  unitsOf(map);
  return map.of[neuron];
}

const state = {
  active: 0, // the panel that was used last
  at: null, // the neuron that is looked at: {map, neuron, panel}
  told: null, // the one that the side of the page tells of
  lit: null, // samples that are lit: indices, or null
  chosen: new Set(), // neurons of a selection, of the map `chosenOn`
  chosenOn: null,
  epoch: null,
  clusters: 1,
};
const activeMap = () => panels[state.active].map;

const panels = [];
let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (state.told !== state.at) tellNeuron();
    panels.forEach((panel) => panel.draw());
  });
}

// A number with four digits, or with those that `step`, the least difference that is meant, leaves.
function shown(value, step = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "no value";
  if (step > 0) {
    const digits = -Math.floor(Math.log10(step));
    if (digits >= 0 && digits <= 15) value = Number(value.toFixed(digits)) + 0; // + 0: no -0
    else if (Math.abs(value) < step / 2) value = 0;
  }
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(3) : String(+value.toPrecision(4));
}

function make(tag, attributes = {}, ...within) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") one.className = value;
    else if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else one.setAttribute(name, value);
  }
  one.append(...within.map((part) => (part instanceof Node ? part : document.createTextNode(part))));
  return one;
}

const say = (text) => { byId("live").textContent = text; };
const nameOf = (map, neuron) => `Neuron ${neuron} at (${map.cell(neuron).join(", ")})`;
