// How the map grew, the component planes, and the table of neurons.
let playing = 0;

function lastEpoch(map) {
  return map.values.birth.reduce((a, b) => Math.max(a, b), 0);
}

function toEpoch(epoch) {
  const { map } = panel;
  state.epoch = epoch;
  byId("epoch").value = epoch;
  const born = map.values.birth.filter((one) => one <= epoch).length;
  const row = map.above ? -1 : epochs.column(0).indexOf(epoch);
  byId("epoch-told").textContent = `Epoch ${epoch}: ${born} of ${map.n} neurons${row >= 0 ? `, quantization error ${shown(epochs.at(row, 2))}` : ""}`;
  redraw();
}

function stop() {
  clearInterval(playing);
  playing = 0;
  byId("play").textContent = "Play";
}

function setUpGrowth() {
  byId("epoch").addEventListener("input", (event) => { stop(); toEpoch(Number(event.target.value)); });
  byId("play").addEventListener("click", () => {
    if (playing) { stop(); return; }
    const last = lastEpoch(panel.map);
    if (state.epoch === null || state.epoch >= last) toEpoch(0);
    byId("play").textContent = "Pause";
    playing = setInterval(() => {
      if (state.epoch >= last) stop();
      else toEpoch(state.epoch + 1);
    }, Math.max(60, Math.min(180, 9000 / last)));
  });
  byId("growth").addEventListener("toggle", (event) => {
    if (event.target.open) return;
    stop();
    state.epoch = null;
    redraw();
  });
}

let planes = 12;

function fillPlanes() {
  const box = byId("planes-list");
  if (!byId("planes").open) return;
  const map = panel.map;
  const many = told.telling.length > planes;
  const chosen = told.telling.slice(0, planes).sort((a, b) => a - b);
  box.replaceChildren(...chosen.map((i) => plane(map, i)));
  markPlanes();
  byId("planes-more").hidden = !many;
}

function plane(map, i) {
  const name = told.features[i];
  const canvas = make("canvas", { width: 160, height: 160, "aria-hidden": "true" });
  const way = ways.get(`feature ${i}`);
  const pen = canvas.getContext("2d");
  const { at, scale } = smallView(map);
  filled(way, map).colours.forEach((colour, k) => {
    const [x, y] = at(k);
    pen.beginPath();
    map.corners.forEach(([dx, dy]) => pen.lineTo(x + scale * dx, y + scale * dy));
    pen.fillStyle = colour ? css(colour) : paint.empty;
    pen.fill();
  });
  const show = () => panel.show(map, way.id);
  return make("button", { type: "button", class: "plane", title: `Colour the map by ${name}`, onclick: show }, make("span", { class: "picture" }, canvas, make("em")), make("span", {}, name));
}

function smallView(map) {
  const { x, y, corners } = map;
  const low = [Math.min(...x) + Math.min(...corners.map(([a]) => a)), Math.min(...y) + Math.min(...corners.map(([, b]) => b))];
  const high = [Math.max(...x) + Math.max(...corners.map(([a]) => a)), Math.max(...y) + Math.max(...corners.map(([, b]) => b))];
  const scale = 160 / Math.max(high[0] - low[0], high[1] - low[1]);
  const shift = [0, 1].map((axis) => (160 - scale * (high[axis] - low[axis])) / 2);
  return { scale, at: (k) => [shift[0] + scale * (x[k] - low[0]), shift[1] + scale * (y[k] - low[1])] };
}

function markPlanes() { // the neuron that is looked at
  const { map } = panel;
  const here = byId("planes").open && state.at?.map === map;
  const [x, y] = here ? smallView(map).at(state.at.neuron) : [];
  for (const mark of byId("planes-list").querySelectorAll("em")) {
    mark.hidden = !here;
    if (here) [mark.style.left, mark.style.top] = [`${x / 1.6}%`, `${y / 1.6}%`]; // of 160
  }
}

function fillTable() {
  if (!byId("table").open) return;
  const map = panel.map;
  const names = Object.keys(MEASURES);
  const head = make("tr", {}, ...["Neuron", "Cell", "Label", ...names.map((one) => MEASURES[one][0])].map((one) => make("th", { scope: "col" }, one)));
  const rows = Array.from({ length: map.n }, (_, k) => make("tr", {},
    make("th", { scope: "row" }, make("button", { type: "button", class: "quiet", onclick: () => pin(panel, k) }, String(k))),
    ...[map.cells[k].join(", "), labelOf(map, k) ?? "", ...names.map((one) => shown(valuesOf(map, one)[k]))].map((one) => make("td", {}, one))));
  byId("table-told").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}
