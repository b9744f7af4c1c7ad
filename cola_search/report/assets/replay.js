"use strict";
/* The search of one sample, step by step. */

cola.replay = (detail, numLayers) => {
  const { tree, chains } = detail;
  const last = chains.length - 1;
  if (last < 0) return cola.h("p", { class: "note" }, "No chain was evaluated.");
  const treeHolder = cola.h("div", { class: "tree-scroll replay" });
  const chainHolder = cola.h("div", { id: "step-chain" });
  const trajectory = cola.h("div", { class: "plot" });
  const player = cola.player(last, (step) => show(step));
  const list = cola.chainList(detail, numLayers, player.jump);
  let picture = null;

  const show = (step) => {
    const { now, visits } = picture?.update(step) ?? { now: -1 };
    chainHolder.replaceChildren(cola.stepChain(detail, numLayers, step, now < 0 ? null : visits[now]));
    trajectory.replaceChildren(cola.drawTrajectory(detail, numLayers, treeHolder.clientWidth || 900, step));
    list.update(step);
  };
  requestAnimationFrame(() => {
    if (tree.length) picture = cola.drawTree(detail, treeHolder.clientWidth || 900, player.jump);
    treeHolder.replaceChildren(picture?.image ?? cola.h("p", { class: "note" }, "This search keeps no tree."));
    player.jump(last);
  });
  const legend = [
    ["right", "var(--right)"],
    ["wrong", "var(--wrong)"],
    ["size: visits so far", "var(--muted)"],
  ];
  const parts = [player.node, cola.legend(legend), treeHolder, chainHolder, trajectory, list.node];
  return cola.h("div", { class: "panel replay-grid" }, cola.h("h3", {}, "The search, step by step"), parts);
};

/* The chain of a step with what is known of it. */
cola.stepChain = (detail, numLayers, step, visits) => {
  const [text, correct, margin, spent] = detail.chains[step];
  return cola.chainBlock(step === 0 ? "the whole model" : "this chain", cola.parseChain(text), numLayers, [
    cola.verdict(correct),
    cola.margin(margin),
    visits === null ? "" : cola.h("span", { id: "step-visits" }, `visits ${visits}`),
    cola.h("span", {}, `${cola.number(spent, 0)} layer executions so far`),
    cola.h("span", { class: "mono" }, text),
  ]);
};

/* Buttons, slider and clock that go through the steps 0 to last. */
cola.player = (last, show) => {
  let step = last;
  let timer = null;
  const slider = cola.h("input", { type: "range", min: 0, max: last, step: 1, "aria-label": "evaluation" });
  const label = cola.h("span", { class: "mono", id: "step-label" });
  const go = (wanted) => {
    step = Math.max(0, Math.min(last, wanted));
    slider.value = step;
    label.textContent = `evaluation ${step + 1} of ${last + 1}`;
    show(step);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ play";
  };
  const start = () => {
    if (step >= last) go(0);
    play.textContent = "❚❚ pause";
    const pause = Math.max(60, Math.min(500, 14000 / (last + 1)));
    timer = setInterval(() => (step >= last || !play.isConnected ? stop() : go(step + 1)), pause);
  };
  const jump = (wanted) => {
    stop();
    go(wanted);
  };
  const button = (text, name, onclick) =>
    cola.h("button", { class: "button", type: "button", "data-step": name, "aria-label": name, onclick }, text);
  const play = button("▶ play", "play", () => (timer ? stop() : start()));
  slider.addEventListener("input", () => jump(Number(slider.value)));
  const [first, back] = [button("|◀", "first", () => jump(0)), button("◀", "back", () => jump(step - 1))];
  const [forward, end] = [button("▶", "forward", () => jump(step + 1)), button("▶|", "last", () => jump(last))];
  return { node: cola.h("div", { class: "controls" }, first, back, play, forward, end, slider, label), jump };
};

const CHAIN_HEADS = [
  ["#", true],
  ["chain", false],
  ["length", true],
  ["verdict", false],
  ["margin", true],
  ["visits in the end", true],
  ["layers", false],
];

/* Every chain in the order of evaluation; a click goes to its step. */
cola.chainList = (detail, numLayers, jump) => {
  const visits = new Map();
  for (const [, chain, count] of detail.tree) visits.set(chain, Math.max(visits.get(chain) ?? 0, count));
  const rows = detail.chains.map(([text, correct, margin], step) => {
    const layers = cola.parseChain(text);
    return cola.h(
      "tr",
      { "data-step": step, onclick: () => jump(step) },
      cola.numberCell(String(step + 1)),
      cola.h("td", {}, cola.miniStrip(layers, numLayers, 200)),
      cola.numberCell(String(layers.length)),
      cola.h("td", {}, cola.verdict(correct)),
      cola.numberCell(cola.signed(margin)),
      cola.numberCell(String(visits.get(step) ?? "–")),
      cola.h("td", { class: "mono" }, text),
    );
  });
  const holder = cola.h("div", { class: "chain-list" }, cola.table(CHAIN_HEADS, rows));
  const update = (step) => {
    rows.forEach((row, at) => {
      row.classList.toggle("now", at === step);
      row.classList.toggle("future", at > step);
    });
    if (holder.clientHeight) holder.scrollTop = rows[step].offsetTop - holder.clientHeight / 2;
  };
  const summary = cola.h("summary", { class: "note" }, rows.length === 1 ? "the only chain" : `all ${rows.length} chains`);
  return { node: cola.h("details", { open: true }, summary, holder), update };
};
