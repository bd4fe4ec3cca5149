// What the page knows, unpacked, and what the reader does to it.
const told = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

const TYPES = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
function numbers({ type, data }) {
  return new TYPES[type](Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)).buffer);
}

// A table whose value (row, column) is a number, or NaN where there is none.
function table(packed) {
  const values = numbers(packed);
  const [rows, columns] = packed.shape;
  const ranges = new Map();
  return {
    rows,
    columns,
    at: (row, column) => values[row * columns + column],
    column(column) {
      return Float64Array.from({ length: rows }, (_, row) => this.at(row, column));
    },
    range(column) { // least, largest, mean, spread
      if (!ranges.has(column)) {
        const known = this.column(column).filter(Number.isFinite);
        const mean = known.reduce((a, b) => a + b, 0) / known.length;
        const spread = Math.sqrt(known.reduce((a, b) => a + (b - mean) ** 2, 0) / known.length);
        const end = (which, start) => known.reduce((a, b) => which(a, b), start);
        ranges.set(column, { low: end(Math.min, Infinity), high: end(Math.max, -Infinity), mean, spread });
      }
      return ranges.get(column);
    },
  };
}

const maps = told.maps.map((one) => {
  const [places, pairs, lengths] = [one.places, one.edges, one.lengths].map(numbers);
  const beside = Array.from({ length: one.n }, () => []);
  for (let i = 0; i < lengths.length; i++) {
    const [a, b] = [pairs[2 * i], pairs[2 * i + 1]];
    beside[a].push([b, lengths[i]]);
    beside[b].push([a, lengths[i]]);
  }
  return {
    ...one,
    x: Float64Array.from({ length: one.n }, (_, k) => places[2 * k]),
    y: Float64Array.from({ length: one.n }, (_, k) => -places[2 * k + 1]), // screens count downwards
    corners: one.corners.map(([x, y]) => [x, -y]),
    beside,
    values: Object.fromEntries(Object.entries(one.values).map(([name, all]) => [name, numbers(all)])),
    labels: numbers(one.labels),
    rgb: numbers(one.rgb),
    shares: one.shares && numbers(one.shares),
    prototypes: table(one.prototypes),
    unit: null,
  };
});

const epochs = table(told.epochs); // number, neurons, quantization error

const samples = {
  ...told.samples,
  rows: numbers(told.samples.rows),
  leaf: numbers(told.samples.leaf),
  distances: numbers(told.samples.distance),
  novel: told.samples.novelty && numbers(told.samples.novelty),
  valued: numbers(told.samples.valued),
  table: table(told.samples.values),
  codes: told.samples.classes && numbers(told.samples.classes),
  y: told.samples.targets && numbers(told.samples.targets),
  beside: told.samples.beside.map((one) => ({ ...one, codes: one.codes && numbers(one.codes), values: one.values && numbers(one.values) })),
};
const valuedAt = new Map();
samples.valued.forEach((sample, row) => valuedAt.set(sample, row));

const cellOf = (column, sample) => (column.names ? column.names[column.codes[sample] - 1] ?? "" : shown(column.values[sample]));
const idOf = (sample) => (samples.ids ? samples.ids[sample] : String(samples.rows[sample]));

// Which neuron of a map each sample passes, -1 for none, and the samples of each neuron.
function unitsOf(map) {
  if (map.unit) return map.unit;
  const ofLeaf = new Int32Array(1 + maps.reduce((most, one) => one.leaf.reduce((a, b) => Math.max(a, b), most), 0)).fill(-1);
  const under = (number, neuron) => {
    const one = maps[number];
    for (let k = 0; k < one.n; k++) {
      if (one.child[k] >= 0) under(one.child[k], neuron < 0 ? k : neuron);
      else ofLeaf[one.leaf[k]] = neuron < 0 ? k : neuron;
    }
  };
  under(maps.indexOf(map), -1);
  map.unit = Int32Array.from(samples.leaf, (one) => ofLeaf[one]);
  map.of = Array.from({ length: map.n }, () => []);
  map.unit.forEach((neuron, sample) => neuron >= 0 && map.of[neuron].push(sample));
  return map.unit;
}

function samplesOf(map, neuron) {
  unitsOf(map);
  return map.of[neuron];
}

const state = {
  at: null, // the neuron that is looked at: {map, neuron}
  told: null, // the one that the side of the page tells of
  lit: null, // samples that are lit: indices, or null
  chosen: new Set(), // neurons of a selection, of the map `chosenOn`
  chosenOn: null,
  epoch: null,
  groups: null, // see groups.js
  picked: new Set(), // places of groups
};
let panel = null; // the one with the map
let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (state.told !== state.at) tellNeuron();
    panel?.draw();
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
const nameOf = (map, neuron) => `Neuron ${neuron} at (${map.cells[neuron].join(", ")})`;
