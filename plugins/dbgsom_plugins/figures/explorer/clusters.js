// The panel of clusters: a list of groups, what is done to them, the dendrogram and where it is cut.
let sliding = false; // the last change was a cut: the next one takes its place among those to be undone

function changeGroups(groups, picked = [], told = "") {
  past.push(state.groups);
  showGroups(groups, picked, told);
}

function showGroups(groups, picked = [], told = "") {
  state.groups = groups;
  state.picked = new Set(picked);
  sliding = false;
  byId("groups-told").textContent = told;
  byId("groups-text").hidden = true;
  if (panel.way.id === "clusters") panel.refill();
  else panel.show(panel.map, "clusters");
  say(`${groups.list.length} groups.`);
  if (state.at) tellNeuron();
  fillGroups();
  byId("groups").children[Math.max(...state.picked)]?.scrollIntoView({ block: "nearest" });
  fillTable();
  redraw();
}

function fillGroups() {
  const { list } = state.groups;
  byId("groups").replaceChildren(...list.map((group, place) => {
    const name = make("input", {
      value: isNumber(group.name) ? "" : group.name, placeholder: nameOfGroup(group), title: nameOfGroup(group),
      "aria-label": `Name of ${nameOfGroup(group)}`, autocomplete: "off", spellcheck: "false",
      onchange: (event) => rename(place, tidy(event.target.value)),
    });
    const box = make("input", { type: "checkbox", "aria-label": `Choose ${nameOfGroup(group)}`, onchange: () => pick(place, true) });
    const share = shareOf(place);
    return make("div", {}, box, make("i", { style: `background:${css(colourOf(group))}` }), name, make("span", { class: "value" }, `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`));
  }));
  byId("cut").max = Math.max(1, tree.live.length);
  byId("cut").value = list.length;
  byId("cut-told").textContent = list.length;
  markGroups();
}

function markGroups() { // those that are picked, and what can be done with them
  const { picked } = state;
  [...byId("groups").children].forEach((row, place) => { row.querySelector("input").checked = picked.has(place); });
  byId("join").disabled = picked.size < 2;
  byId("split").disabled = picked.size !== 1;
  byId("undo").disabled = byId("reset").disabled = !past.length;
  drawTree();
  redraw();
}

function pick(place, more) {
  const picked = new Set(more ? state.picked : []);
  if (more ? !picked.delete(place) : !(state.picked.size === 1 && state.picked.has(place))) picked.add(place);
  state.picked = picked;
  if (picked.has(place)) byId("groups").children[place].scrollIntoView({ block: "nearest" });
  markGroups();
}

function rename(place, typed) {
  const { of, list, cut } = state.groups;
  const others = list.filter((_, i) => i !== place).map(({ name }) => name);
  let name = typed;
  if (!typed) for (name = 0; others.includes(String(name)); name += 1); // a number again
  const problem = misnamed(String(name), others);
  if (problem) { fillGroups(); byId("groups-told").textContent = problem; return; }
  const leaves = tree.live.filter((leaf) => of[leaf] === place);
  const renamed = { ...list[place], name: String(name), about: aboutOf(String(name), leaves) };
  changeGroups({ of, list: list.with(place, renamed), cut }, state.picked);
}

function joinPicked() {
  const [first, ...rest] = [...state.picked].sort((a, b) => a - b);
  const groups = regroup(state.groups, state.groups.of.map((place) => (rest.includes(place) ? first : place)));
  const leaf = tree.live.find((one) => state.groups.of[one] === first);
  changeGroups(groups, [groups.of[leaf]]);
}

function splitPicked() {
  const [place] = state.picked;
  const groups = divide(state.groups, place);
  if (!groups) { byId("groups-told").textContent = "This group is one neuron."; return; }
  changeGroups(groups, new Set(Array.from(tree.live).filter((leaf) => state.groups.of[leaf] === place).map((leaf) => groups.of[leaf])));
}

function cutInto(count) {
  count = Math.max(1, Math.min(count, tree.live.length));
  const before = sliding ? past.pop() : state.groups;
  past.push(before);
  showGroups(regroup(before, clustersAt(count), count));
  sliding = true;
}

function saveGroups() {
  const text = writeGroups(state.groups);
  offer(text, "application/json", "groups.json");
  byId("groups-text").hidden = window.origin !== "null"; // see `offer`
  byId("groups-text").value = text;
}

async function loadGroups(file) {
  if (!file) return;
  try {
    if (file.size > BOUNDS.bytes) throw new Error("This file is too large.");
    changeGroups(readGroups(await file.text()), [], `${file.name} was loaded.`);
  } catch (error) { byId("groups-told").textContent = error.message; }
}

function tops(heights) { // that never sink from join to join
  let top = 0;
  return heights.map((one) => (top = Math.max(top, one)));
}

function drawTree() {
  const box = byId("dendrogram");
  if (!byId("clusters").open || !box.clientWidth) return;
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [box.clientWidth, box.clientHeight];
  [box.width, box.height] = [w * ratio, h * ratio];
  const pen = box.getContext("2d");
  pen.scale(ratio, ratio);
  const leaves = tree.stands.length;
  const joins = tree.joins.length / 2;
  const { of, list, cut } = state.groups;
  box.setAttribute("aria-label", `Dendrogram of ${joins + 1} neurons in ${list.length} groups`);
  if (!joins) return;
  const heights = tops(tree.heights);
  const highest = heights[joins - 1] || 1;
  const level = (height) => h - 6 - (h - 14) * Math.sqrt(height / highest);
  const place = new Map();
  const visit = [leaves + joins - 1];
  let next = 0;
  while (visit.length) { // leaves from left to right
    const node = visit.pop();
    if (node < leaves) place.set(node, [next++, h - 6]);
    else visit.push(tree.joins[2 * (node - leaves) + 1], tree.joins[2 * (node - leaves)]);
  }
  const step = (w - 12) / Math.max(1, next - 1);
  const group = new Map([...place.keys()].map((leaf) => [leaf, of[leaf]]));
  for (let i = 0; i < joins; i++) {
    const [a, b] = [tree.joins[2 * i], tree.joins[2 * i + 1]];
    const [[ax, ay], [bx, by]] = [place.get(a), place.get(b)];
    const y = level(heights[i]);
    const all = group.get(a) === group.get(b) ? group.get(a) : -1; // -1: of several groups
    pen.strokeStyle = all >= 0 ? css(colourOf(list[all])) : paint.muted;
    pen.lineWidth = state.picked.has(all) ? 2.5 : 1;
    pen.beginPath();
    pen.moveTo(6 + ax * step, ay);
    pen.lineTo(6 + ax * step, y);
    pen.lineTo(6 + bx * step, y);
    pen.lineTo(6 + bx * step, by);
    pen.stroke();
    place.set(leaves + i, [(ax + bx) / 2, y]);
    group.set(leaves + i, all);
  }
  if (cut === null) return;
  const at = joins - cut; // the last join that counts
  const y = (level(at >= 0 ? heights[at] : 0) + level(at + 1 < joins ? heights[at + 1] : highest * 1.05)) / 2;
  pen.strokeStyle = paint.accent;
  pen.lineWidth = 1;
  pen.setLineDash([5, 4]);
  pen.beginPath();
  pen.moveTo(0, y);
  pen.lineTo(w, y);
  pen.stroke();
}

function setUpClusters() {
  const [box, side] = ["dendrogram", "clusters"].map(byId);
  byId("cut").addEventListener("input", (event) => cutInto(Number(event.target.value)));
  side.addEventListener("toggle", drawTree);
  const cutAt = (event) => {
    const heights = tops(tree.heights);
    const h = box.clientHeight;
    const y = event.clientY - box.getBoundingClientRect().top;
    const height = Math.max(0, (h - 6 - y) / (h - 14)) ** 2 * (heights[heights.length - 1] || 1);
    cutInto(1 + heights.filter((one) => one > height).length);
  };
  box.addEventListener("pointerdown", (event) => { box.setPointerCapture(event.pointerId); cutAt(event); });
  box.addEventListener("pointermove", (event) => event.buttons && cutAt(event));
  byId("join").addEventListener("click", joinPicked);
  byId("split").addEventListener("click", splitPicked);
  byId("undo").addEventListener("click", () => showGroups(past.pop()));
  byId("reset").addEventListener("click", () => changeGroups(firstGroups()));
  byId("save").addEventListener("click", saveGroups);
  const load = byId("load");
  byId("load-go").addEventListener("click", () => load.click());
  load.addEventListener("change", async () => { await loadGroups(load.files[0]); load.value = ""; });
  side.addEventListener("dragover", (event) => event.preventDefault());
  side.addEventListener("drop", (event) => { event.preventDefault(); loadGroups(event.dataTransfer.files[0]); });
  byId("save").disabled = byId("load-go").disabled = !tree.prototypes?.length;
}
