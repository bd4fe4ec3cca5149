// Finding samples, and choosing those of neurons.
const LISTED = 50;

function light(found, text, title = "Selection") {
  state.lit = found;
  byId("lit-told").textContent = text;
  byId("selection").hidden = byId("export").hidden = !found.length;
  hideText();
  showSelection(title);
  redraw();
}

function unlight() {
  [state.lit, state.chosenOn] = [null, null];
  state.chosen.clear();
  byId("lit-told").textContent = "";
  byId("lit-list").replaceChildren();
  byId("selection").hidden = byId("export").hidden = true;
  redraw();
}

function choose(map, neurons, title) {
  if (!neurons.length) { unlight(); return; }
  state.chosenOn = map;
  state.chosen = new Set(neurons);
  byId("find").open = false; // so that the profile has its place
  byId("lit-list").replaceChildren();
  const found = neurons.flatMap((k) => samplesOf(map, k)).sort((a, b) => a - b);
  const text = `${neurons.length} neuron${neurons.length > 1 ? "s" : ""} selected, with ${found.length} samples.`;
  light(found, text, title);
  say(text);
}

// What an entry of a legend stands for: the neurons of a category, or the samples of a class.
function chooseEntry(map, way, fill, i, name) {
  if (way.kind === "categories") {
    const neurons = Array.from(fill.values, (one, k) => (one === i ? k : -1)).filter((k) => k >= 0);
    choose(map, neurons, `Neurons ${way.id === "label" ? "labelled" : "of"} ${name}`);
    return;
  }
  unlight();
  byId("find").open = false;
  const found = Array.from(samples.codes.keys()).filter((sample) => samples.codes[sample] === i + 1);
  light(found, `${found.length.toLocaleString("en")} samples of ${name}.`, `Samples of ${name}`);
}

function fields() {
  const all = samples.named ? [{ id: "id", name: samples.named, text: idOf }] : [];
  samples.beside.forEach((column, at) => all.push({ id: `beside ${at}`, name: column.name, [column.names ? "text" : "value"]: (i) => (column.names ? cellOf(column, i) : column.values[i]) }));
  if (samples.codes) all.push({ id: "class", name: samples.target, text: (i) => (samples.codes[i] ? told.classes[samples.codes[i] - 1] : "") });
  if (samples.y) all.push({ id: "target", name: samples.target, value: (i) => samples.y[i] });
  all.push({ id: "distance", name: "distance to its neuron", value: (i) => samples.distances[i] });
  if (samples.novel) all.push({ id: "novelty", name: "novelty", value: (i) => samples.novel[i] });
  told.features.forEach((name, column) => all.push({ id: `feature ${column}`, name, value: (i) => (valuedAt.has(i) ? samples.table.at(valuedAt.get(i), column) : NaN) }));
  return new Map(all.map((one) => [one.id, one]));
}

function setUpSearch() {
  const all = fields();
  const [what, how, value] = ["search-what", "search-how", "search-value"].map(byId);
  for (const { id, name } of all.values()) what.append(make("option", { value: id }, name));
  const offer = () => {
    const hows = all.get(what.value).text ? ["contains", "equal to"] : ["at least", "at most", "near", "missing"];
    how.replaceChildren(...hows.map((one) => make("option", {}, one)));
  };
  what.addEventListener("change", offer);
  offer();
  const go = () => find(all.get(what.value), how.value, value.value.trim());
  byId("search-go").addEventListener("click", go); // no form: frames of MLflow and notebooks send none
  value.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) go(); });
}

function find(field, how, wanted) {
  const all = Array.from({ length: samples.n }, (_, i) => i);
  let found;
  if (field.text) {
    const lower = wanted.toLowerCase();
    const fits = how === "equal to" ? (text) => text.toLowerCase() === lower : (text) => text.toLowerCase().includes(lower);
    found = all.filter((i) => fits(field.text(i)));
  } else if (how === "missing") {
    found = all.filter((i) => Number.isNaN(field.value(i)) && (!field.id.startsWith("feature") || valuedAt.has(i)));
  } else {
    const number = Number(wanted.replace(",", "."));
    if (wanted === "" || Number.isNaN(number)) { byId("lit-told").textContent = `“${wanted}” is no number.`; return; }
    const gap = (i) => Math.abs(field.value(i) - number);
    if (how === "near") found = all.filter((i) => !Number.isNaN(field.value(i))).sort((a, b) => gap(a) - gap(b)).slice(0, 10);
    else found = all.filter((i) => (how === "at least" ? field.value(i) >= number : field.value(i) <= number));
  }
  list(found, field);
}

function list(found, field) {
  unlight();
  const unit = unitsOf(panel.map);
  const neurons = new Set(found.map((i) => unit[i]).filter((k) => k >= 0));
  const part = field.id.startsWith("feature") && samples.valued.length < samples.n ? ` of the ${samples.valued.length.toLocaleString("en")} whose values are here` : "";
  const some = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  light(found, found.length ? `${some(found.length, "sample")}${part}, on ${some(neurons.size, "neuron")} of this map.` : `No sample${part} was found.`);
  const box = make("div", { class: "items" }, ...found.slice(0, LISTED).map((i) => sampleItem(i)));
  byId("lit-list").replaceChildren(box);
  if (found.length > LISTED) byId("lit-list").append(make("p", { class: "hint" }, `… and ${found.length - LISTED} more`));
  if (found.length) { const k = unit[found[0]]; if (k >= 0) pin(panel, k); }
}
