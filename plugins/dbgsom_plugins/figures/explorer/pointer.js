// What pointers and keys do on a map.
let ropes = false; // the lasso is taken up

function listen(panel) {
  const { canvas, box } = panel;
  const at = (event) => {
    const frame = box.getBoundingClientRect();
    return [event.clientX - frame.left - box.clientLeft, event.clientY - frame.top - box.clientTop];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    panel.pointers.set(event.pointerId, at(event));
    panel.moved = 0;
    if (ropes && panel.pointers.size === 1) panel.rope = [at(event)];
    else panel.rope = null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    const before = panel.pointers.get(event.pointerId);
    if (!before) { look(panel, panel.neuronAt(x, y)); return; }
    const [dx, dy] = [x - before[0], y - before[1]];
    panel.moved += Math.abs(dx) + Math.abs(dy);
    if (panel.rope) panel.rope.push([x, y]);
    else if (panel.pointers.size === 2) {
      const [other] = [...panel.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const apart = ([a, b]) => Math.hypot(a - other[0], b - other[1]) || 1;
      panel.zoom(apart([x, y]) / apart(before), ...other);
    } else { panel.view.x += dx; panel.view.y += dy; }
    panel.pointers.set(event.pointerId, [x, y]);
    redraw();
  });
  const lift = (event) => {
    if (!panel.pointers.delete(event.pointerId)) return;
    const rope = panel.rope;
    panel.rope = null;
    if (event.type === "pointerup" && panel.moved < 6) {
      const neuron = panel.neuronAt(...at(event));
      look(panel, neuron);
      if (neuron >= 0) pin(panel, neuron);
      if (neuron >= 0 && byId("clusters").open && panel.way.id === "clusters") pick(groupsOf(panel.map)[neuron], event.shiftKey || event.ctrlKey || event.metaKey);
    } else if (rope && event.type === "pointerup") lasso(panel, rope);
    redraw();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    panel.zoom(Math.exp(-event.deltaY / 400), ...at(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => descend(panel, panel.neuronAt(...at(event))));
  canvas.addEventListener("focus", () => {
    if (!state.at || state.at.map !== panel.map) pin(panel, 0);
  });
  canvas.addEventListener("keydown", (event) => {
    if (key(panel, event)) event.preventDefault();
  });
}

const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function key(panel, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const neuron = state.at && state.at.map === panel.map ? state.at.neuron : 0;
  if (ARROWS[event.key]) pin(panel, beyond(panel.map, neuron, ARROWS[event.key]));
  else if (event.key === "Home") pin(panel, 0);
  else if (event.key === "End") pin(panel, panel.map.n - 1);
  else if (event.key === "Enter") descend(panel, neuron);
  else if (event.key === "Backspace") { if (panel.map.above) ascend(panel); }
  else if (event.key === " ") toggle(panel.map, neuron);
  else if (event.key === "+" || event.key === "=") panel.zoom(1.4);
  else if (event.key === "-") panel.zoom(1 / 1.4);
  else if (event.key === "0") panel.fit();
  else if (event.key === "Escape") unlight();
  else return false;
  return true;
}

// The nearest neuron in a direction; where there is none, the one that a torus or a row in lines goes on with.
function beyond(map, neuron, [dx, dy]) {
  const from = (k) => [map.x[k] - map.x[neuron], map.y[k] - map.y[neuron]];
  const cost = (k) => {
    const [x, y] = from(k);
    const along = x * dx + y * dy;
    return along > 0.2 ? along + 3 * Math.abs(x * dy - y * dx) : Infinity;
  };
  let [best, least] = [neuron, Infinity];
  for (let k = 0; k < map.n; k++) if (k !== neuron && cost(k) < least) [best, least] = [k, cost(k)];
  if (best !== neuron) return best;
  return map.beside[neuron].map(([k]) => k).find((k) => from(k)[0] * dx + from(k)[1] * dy < -1.6) ?? neuron;
}

function look(panel, neuron) {
  if (neuron < 0 || (state.at && state.at.map === panel.map && state.at.neuron === neuron)) return;
  state.at = { map: panel.map, neuron };
  redraw();
}

// Looks at a neuron, tells screen readers of it and brings it into the picture.
function pin(panel, neuron) {
  look(panel, neuron);
  const [x, y] = panel.place(neuron);
  const [w, h] = [panel.width, panel.height];
  if (x < 0 || y < 0 || x > w || y > h) { panel.view.x += w / 2 - x; panel.view.y += h / 2 - y; redraw(); }
  say(inWords(panel.map, neuron));
}

function descend(panel, neuron) {
  if (neuron < 0) return;
  const child = panel.map.child[neuron];
  if (child < 0) { say(`${nameOf(panel.map, neuron)} has no child map.`); return; }
  panel.show(maps[child], panel.way.id);
  pin(panel, 0);
}

function ascend(panel) {
  const [map, neuron] = panel.map.above;
  panel.show(maps[map], panel.way.id);
  pin(panel, neuron);
}

function lasso(panel, rope) {
  const chosen = [];
  for (let k = 0; k < panel.map.n; k++) {
    const [x, y] = panel.place(k);
    if (within(x, y, rope)) chosen.push(k);
  }
  choose(panel.map, chosen);
}

function toggle(map, neuron) {
  const chosen = new Set(state.chosenOn === map ? state.chosen : []);
  if (!chosen.delete(neuron)) chosen.add(neuron);
  choose(map, [...chosen]);
}
