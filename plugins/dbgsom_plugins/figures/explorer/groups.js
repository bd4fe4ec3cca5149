// Groups of neurons: those of the map, or as a reader joins, splits and names them. They are of leaves, the
// neurons without a child map, and those without samples of the training are of the leaf they stand for.
const { kind, what, said, names: labelNames } = told.labels;
const grouped = told.groups.names !== null; // else the map has no clusters, and the page begins with some
const tree = {
  ...told.groups,
  ...Object.fromEntries(["live", "stands", "of", "joins", "heights"].map((name) => [name, numbers(told.groups[name])])),
};
const leafHits = new Float64Array(tree.stands.length);
for (const map of maps) map.leaf.forEach((leaf, k) => { if (leaf >= 0) leafHits[leaf] = map.values.hits[k]; });
const allHits = leafHits.reduce((a, b) => a + b, 0);
const FILE = { format: "dbgsom groups", version: 1 };
const BOUNDS = { name: 100, bytes: 2 ** 25 };
const BEGIN = 4; // clusters of a map without any
const past = []; // groups before each change

const isNumber = (name) => /^\d+$/.test(name);
function colourOf({ colour }) {
  const [few, more] = told.colours;
  return state.groups.list.some((one) => one.colour >= few.length) ? more[colour % more.length] : few[colour];
}
function nameOfGroup({ name, about }) {
  const shownAs = isNumber(name) ? `cluster ${name}` : name;
  return about ? `${shownAs}: ${about}` : shownAs;
}
const lettered = () => state.groups.list.some(({ name }) => name.length > 9); // no cell has place for them
const letter = (i) => (i < 26 ? String.fromCharCode(65 + i) : `A${i - 25}`); // no number: those are names

function labelOf(map, k) {
  if (grouped) return state.groups.list[groupsOf(map)[k]].name;
  const label = map.labels[k];
  if (Number.isNaN(label)) return null;
  return kind === "values" ? shown(label) : labelNames[label];
}
const tellsLabel = (map, k) => grouped || (labelOf(map, k) !== null && kind !== "many");
const toldLabel = (map, k) => (grouped ? toldGroup(map, k) : labelOf(map, k));
const toldGroup = (map, k) => nameOfGroup(state.groups.list[groupsOf(map)[k]]);

// The place of the group of each neuron; above a child map it is that of most samples there.
const placed = new Map(); // by map, of the groups asked for last
function groupsOf(map) {
  const known = placed.get(map);
  if (known?.groups === state.groups) return known.found;
  const found = Int32Array.from({ length: map.n }, (_, k) => {
    const hits = new Map();
    for (const leaf of leavesBelow(map, k)) {
      const group = state.groups.of[tree.stands[leaf]];
      hits.set(group, (hits.get(group) ?? 0) + leafHits[leaf]);
    }
    return [...hits].reduce((most, one) => (one[1] > most[1] ? one : most))[0];
  });
  placed.set(map, { groups: state.groups, found });
  return found;
}

function leavesBelow(map, k) {
  if (map.child[k] < 0) return [map.leaf[k]];
  const child = maps[map.child[k]];
  return Array.from({ length: child.n }, (_, i) => leavesBelow(child, i)).flat();
}

const shareOf = (place) => tree.stands.reduce((sum, leaf, i) => sum + (state.groups.of[leaf] === place ? leafHits[i] : 0), 0) / (allHits || 1);

// ------------------------------------------------------------------------------------------ changes

// The cluster of each leaf when `count` are left.
function clustersAt(count) {
  const [leaves, joins] = [tree.stands.length, tree.joins.length / 2];
  const above = Int32Array.from({ length: leaves + joins }, (_, i) => i);
  for (let i = joins - count; i >= 0; i--) above[tree.joins[2 * i]] = above[tree.joins[2 * i + 1]] = leaves + i;
  for (let i = above.length - 1; i >= 0; i--) above[i] = above[above[i]];
  return above.slice(0, leaves);
}

// Which of the map's own groups these leaves are, -1 for none.
function ownPlace(leaves) {
  const place = grouped ? tree.of[leaves[0]] : -1;
  const own = tree.live.filter((leaf) => tree.of[leaf] === place);
  return own.length === leaves.length && leaves.every((leaf) => tree.of[leaf] === place) ? place : -1;
}

// What sets a group apart, which is known of the map's own ones.
function aboutOf(name, leaves) {
  const place = ownPlace(leaves);
  return place >= 0 && tree.names[place] === name ? said?.[name] ?? "" : "";
}

// Groups by numbers of any kind for leaves. Each keeps the name and colour of the former one with which it shares
// most samples, the largest first; what is new takes the map's name for it, or the first number that is free.
function regroup(before, numberOf, cut = null) {
  const parts = new Map();
  for (const leaf of tree.live) {
    const part = parts.get(numberOf[leaf]) ?? { leaves: [], hits: 0, shared: new Map() };
    parts.set(numberOf[leaf], part);
    const hits = leafHits[leaf] + 1e-6; // of a leaf without samples on this page, too
    const old = before.of[leaf];
    part.leaves.push(leaf);
    part.hits += hits;
    part.shared.set(old, (part.shared.get(old) ?? 0) + hits);
  }
  const taken = new Map();
  const fresh = [];
  for (const part of [...parts.values()].sort((a, b) => b.hits - a.hits)) {
    const [old] = [...part.shared].filter(([place]) => !taken.has(place)).sort((a, b) => b[1] - a[1])[0] ?? [-1];
    if (old < 0) fresh.push(part);
    else taken.set(old, part);
  }
  const list = [];
  const of = new Int32Array(tree.stands.length);
  const put = (part, group) => { part.leaves.forEach((leaf) => { of[leaf] = list.length; }); list.push(group); };
  for (const [old, part] of [...taken].sort((a, b) => a[0] - b[0])) {
    const { name, colour } = before.list[old];
    put(part, { name, colour, about: aboutOf(name, part.leaves) });
  }
  const free = (isTaken) => { let number = 0; while (isTaken(number)) number += 1; return number; };
  for (const part of fresh.sort((a, b) => a.leaves[0] - b.leaves[0])) {
    const known = list.map(({ name }) => name);
    let name = tree.names?.[ownPlace(part.leaves)];
    if (name === undefined || known.includes(name)) name = String(free((number) => [...known, ...(tree.names ?? [])].includes(String(number))));
    put(part, { name, colour: free((number) => list.some(({ colour }) => colour === number)), about: aboutOf(name, part.leaves) });
  }
  return { of, list, cut };
}

// The groups with one divided at its highest join, or null where it is one neuron.
function divide(groups, place) {
  const leaves = tree.stands.length;
  const members = new Int32Array(leaves + tree.joins.length / 2);
  for (const leaf of tree.live) members[leaf] = groups.of[leaf] === place ? 1 : 0;
  let top = -1;
  for (let i = 0; i < tree.joins.length / 2; i++) {
    const [a, b] = [members[tree.joins[2 * i]], members[tree.joins[2 * i + 1]]];
    members[leaves + i] = a + b;
    if (a && b) top = i;
  }
  if (top < 0) return null;
  const numberOf = groups.of.slice();
  const visit = [tree.joins[2 * top + 1]];
  while (visit.length) {
    const node = visit.pop();
    if (node >= leaves) visit.push(tree.joins[2 * (node - leaves)], tree.joins[2 * (node - leaves) + 1]);
    else if (groups.of[node] === place) numberOf[node] = groups.list.length;
  }
  return regroup(groups, numberOf);
}

const tidy = (name) => name.trim().replace(/\s+/g, " ");

// What is wrong with a name of a group; empty where nothing is.
function misnamed(name, others) {
  if (!name.trim()) return "A group needs a name.";
  if ([...name].length > BOUNDS.name) return `A name has at most ${BOUNDS.name} characters.`;
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)) return "A name has no control characters.";
  if (name !== tidy(name)) return "A name has single spaces.";
  return others.includes(name) ? `Two groups cannot both be called “${name}”.` : "";
}

function firstGroups() {
  const whole = { of: new Int32Array(tree.stands.length), list: [{ name: "0", colour: 0, about: "" }], cut: 1 };
  const count = Math.min(BEGIN, tree.live.length);
  if (!grouped) return count ? regroup(whole, clustersAt(count), count) : whole;
  return { of: Int32Array.from(tree.of), list: tree.names.map((name, colour) => ({ name, colour, about: said?.[name] ?? "" })), cut: tree.names.length };
}

// -------------------------------------------------------------------------------------------- files

// groups.json: names, the group of each neuron, and prototypes, by which other maps are named as well.
function writeGroups({ of, list }) {
  const rows = tree.prototypes.map((row) => `    ${JSON.stringify(row)}`);
  const parts = { ...FILE, title: told.title, groups: list.map(({ name }) => name), neurons: Array.from(tree.live, (leaf) => of[leaf]) };
  const lines = Object.entries(parts).map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")},\n  "prototypes": [\n${rows.join(",\n")}\n  ]\n}\n`;
}

// The groups of a file, or an error with a sentence: each leaf is of the group of the nearest prototype there.
function readGroups(text) {
  let file;
  try { file = JSON.parse(text); } catch { throw new Error("This file is no JSON."); }
  if (file?.format !== FILE.format || file.version !== FILE.version) throw new Error("This is no file of groups that this page can read.");
  const { groups: names, neurons, prototypes } = file;
  const lists = [names, neurons, prototypes].every((one) => Array.isArray(one) && one.length);
  if (!lists || neurons.length !== prototypes.length) throw new Error("This file has not the groups of as many neurons as prototypes.");
  names.forEach((name, i) => {
    const problem = typeof name === "string" ? misnamed(name, names.slice(0, i)) : "A group needs a name.";
    if (problem) throw new Error(`${problem} This file was not loaded.`);
  });
  const width = tree.prototypes[0]?.length;
  if (!prototypes.every((row) => row?.length === width && row.every(Number.isFinite))) throw new Error(`These groups are of a map with other features: this one has ${width}.`);
  if (!neurons.every((place) => Number.isInteger(place) && place >= 0 && place < names.length)) throw new Error("This file has a neuron in a group that it does not have.");
  const of = new Int32Array(tree.stands.length);
  const kept = [...new Set(Array.from(tree.live, (leaf, i) => (of[leaf] = neurons[nearestRow(prototypes, tree.prototypes[i])])))].sort((a, b) => a - b);
  for (const leaf of tree.live) of[leaf] = kept.indexOf(of[leaf]);
  return { of, list: kept.map((place, colour) => ({ name: names[place], colour, about: "" })), cut: null };
}

function nearestRow(rows, point) {
  let [best, least] = [0, Infinity];
  rows.forEach((row, i) => {
    let square = 0;
    for (let j = 0; j < point.length && square < least; j++) square += (row[j] - point[j]) ** 2;
    if (square < least) [best, least] = [i, square];
  });
  return best;
}
