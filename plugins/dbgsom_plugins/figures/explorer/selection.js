// What a selection of samples has that the rest has not, and its rows as CSV.
const SHOWN = { features: 8, classes: 4 };
const MOST_TEXT = 200000; // letters
let allFeatures = false;

// Means of the selection and of the rest, and their difference in standard deviations of all.
function compare(name, values, chosen) {
  const [counts, sums] = [[0, 0], [0, 0]];
  values.forEach((value, i) => {
    if (!Number.isFinite(value)) return;
    counts[chosen[i]] += 1;
    sums[chosen[i]] += value;
  });
  const middle = (sums[0] + sums[1]) / (counts[0] + counts[1]);
  const squares = values.reduce((all, value) => (Number.isFinite(value) ? all + (value - middle) ** 2 : all), 0);
  const deviation = Math.sqrt(squares / (counts[0] + counts[1]));
  const [rest, mean] = sums.map((sum, i) => sum / counts[i]);
  const effect = deviation > 1e-9 * Math.abs(middle) ? (mean - rest) / deviation : NaN;
  return { name, step: deviation / 30, mean, rest, effect };
}

// What each feature differs by, largest effect first, after the target where it is a number.
function contrasts() {
  const lit = new Set(state.lit);
  const target = samples.y ? [compare(samples.target, samples.y, Uint8Array.from(samples.y, (_, i) => lit.has(i)))] : [];
  const chosen = Uint8Array.from(samples.valued, (sample) => lit.has(sample));
  const found = told.features.map((name, i) => compare(name, samples.table.column(i), chosen));
  const size = ({ effect }) => (Number.isNaN(effect) ? -1 : Math.abs(effect));
  return [...target, ...found.sort((a, b) => size(b) - size(a))];
}

function row(tag, cells) {
  return make("tr", {}, ...cells.map((cell, i) => make(i ? tag : "th", { scope: i ? "col" : "row", ...(i ? {} : { class: "name", title: cell }) }, cell)));
}

function tableOf(head, rows) {
  const columns = make("tr", {}, ...head.map((one) => make("th", { scope: "col" }, one)));
  return make("table", { class: "contrast" }, make("thead", {}, columns), make("tbody", {}, ...rows));
}

function effectBar(effect, largest) {
  const track = make("span", { class: "track both", "aria-hidden": "true" });
  const width = (50 * Math.min(Math.abs(effect), largest)) / largest;
  if (width > 0) track.append(make("b", { style: `left:${effect < 0 ? 50 - width : 50}%;width:${width}%` }));
  return track;
}

function featuresTold() {
  const all = contrasts();
  const rows = allFeatures ? all : all.slice(0, SHOWN.features);
  const largest = Math.max(1, ...rows.map(({ effect }) => Math.abs(effect) || 0));
  const signed = (effect) => (Number.isNaN(effect) ? "–" : `${effect < 0 ? "−" : "+"}${Math.abs(effect).toFixed(2)}`);
  const lines = rows.map(({ name, step, mean, rest, effect }) => row("td", [name, shown(mean, step), shown(rest, step), effectBar(effect, largest), signed(effect)]));
  const some = samples.valued.length < samples.n ? ` Means and effects are those of the ${samples.valued.length.toLocaleString("en")} samples whose values are in this page.` : "";
  const box = make("div", {}, tableOf(["Mean of", "selected", "rest", "", "effect"], lines),
    make("p", { class: "hint" }, `Effect: the difference of the means in standard deviations of all samples.${some}`));
  if (all.length > SHOWN.features) {
    const change = () => { allFeatures = !allFeatures; showSelection(); };
    box.append(make("button", { type: "button", class: "quiet", onclick: change }, allFeatures ? "Only the largest effects" : `All ${all.length}`));
  }
  return box;
}

function classesTold() {
  const counts = [0, 1].map(() => new Float64Array(told.classes.length + 1));
  const lit = new Set(state.lit);
  samples.codes.forEach((code, i) => { counts[Number(lit.has(i))][code] += 1; });
  const shares = counts.map((found) => {
    const all = found.slice(1).reduce((a, b) => a + b, 0);
    return found.slice(1).map((count) => count / all);
  });
  const order = told.classes.map((_, i) => i).sort((a, b) => Math.abs(shares[1][b] - shares[0][b]) - Math.abs(shares[1][a] - shares[0][a]));
  const part = (share) => (Number.isNaN(share) ? "–" : `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);
  return tableOf(["Share of", "selected", "rest", ""], order.slice(0, SHOWN.classes).map((i) =>
    row("td", [told.classes[i], part(shares[1][i]), part(shares[0][i]), bar(shares[1][i], told.palette[i], shares[0][i])])));
}

function showSelection(title = byId("selection-title").textContent) {
  byId("selection-title").textContent = title;
  const count = state.lit.length;
  byId("selection-told").textContent = ` · ${count.toLocaleString("en")} of ${samples.n.toLocaleString("en")} samples`;
  byId("contrast").replaceChildren(...(count ? [...(samples.codes ? [classesTold()] : []), featuresTold()] : []));
  const valued = state.lit.filter((i) => valuedAt.has(i)).length;
  const notes = [];
  if (valued < count) notes.push(`The rows of ${valued.toLocaleString("en")} of them have features.`);
  byId("export-told").textContent = notes.join(" ");
}

function csv() {
  const map = state.chosenOn ?? panel.map;
  const unit = unitsOf(map);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const number = (value, digits) => (Number.isFinite(value) ? String(+value.toPrecision(digits)) : "");
  const feature = (at, i) => (at === undefined ? "" : number(samples.table.at(at, i), 7)); // as many digits as there are
  const known = samples.codes || samples.y;
  const truth = (i) => (samples.codes ? (samples.codes[i] ? told.classes[samples.codes[i] - 1] : "") : number(samples.y[i], 6));
  const names = [...(samples.named ? [samples.named] : []), ...samples.beside.map(({ name }) => name), "neuron", "x", "y", ...(known ? [samples.target] : []), "distance", "label", ...told.features];
  const times = new Map(); // of a name, as assignments.csv numbers them
  const head = names.map((name) => {
    times.set(name, (times.get(name) ?? -1) + 1);
    return times.get(name) ? `${name}.${times.get(name)}` : name;
  });
  const rows = state.lit.map((i) => [
    ...(samples.named ? [idOf(i)] : []), ...samples.beside.map((column) => (column.names ? cellOf(column, i) : number(column.values[i], 7))), String(unit[i]), ...(unit[i] < 0 ? ["", ""] : map.cells[unit[i]].map(String)), ...(known ? [truth(i)] : []),
    String(+samples.distances[i].toPrecision(6)), unit[i] < 0 ? "" : labelOf(map, unit[i]) ?? "",
    ...told.features.map((_, column) => feature(valuedAt.get(i), column)),
  ]);
  return `${[head, ...rows].map((cells) => cells.map(quoted).join(",")).join("\n")}\n`;
}

function hideText() {
  byId("csv-label").hidden = true;
}

function showText(text) {
  const whole = text.length <= MOST_TEXT;
  const part = whole ? text : text.slice(0, text.lastIndexOf("\n", MOST_TEXT) + 1); // more would take minutes to lay out
  byId("csv-part").textContent = whole ? "The same as text, to be copied" : "The first rows as text; the download has all";
  byId("csv-label").hidden = false;
  byId("csv").value = part;
  byId("csv").select();
}

// Lets a text be downloaded. A frame of origin "null", such as MLflow's, may prevent that and not say so.
function offer(text, type, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function setUpExport() {
  byId("download").addEventListener("click", () => {
    const text = csv();
    offer(text, "text/csv", "samples.csv");
    if (window.origin === "null") showText(text);
  });
  byId("as-text").addEventListener("click", () => showText(csv()));
  byId("clear").addEventListener("click", unlight);
}
