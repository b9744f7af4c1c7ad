"use strict";
/* One sample, opened: what was asked, what the model said before and after, its chain, and its search. */

cola.chunks = new Map();

/* Everything that is known of a sample; its chunk is inflated once. */
cola.loadSample = async (row) => {
  const number = Math.floor(row.index / cola.data.chunk);
  if (!cola.chunks.has(number)) cola.chunks.set(number, cola.unpack(`chunk-${number}`));
  return (await cola.chunks.get(number))[row.index % cola.data.chunk];
};

cola.tag = (text, tone) => cola.h("span", { class: `badge ${tone}` }, text);

/* The options with who chose which; a best chain of an older record, without its answer, chose the gold one. */
cola.optionList = (detail) =>
  cola.h(
    "ol",
    { class: "options" },
    detail.choices.map((text, index) => {
      const gold = index === detail.gold;
      return cola.h(
        "li",
        { class: gold ? "gold" : "" },
        cola.h("span", { class: "letter" }, cola.letter(index)),
        cola.h("span", { class: "text" }, text),
        index === detail.base?.prediction ? cola.tag("before", gold ? "right" : "wrong") : null,
        detail.best && index === (detail.best.prediction ?? detail.gold) ? cola.tag("after", "right") : null,
        index === detail.controls.decoy?.target ? cola.tag("decoy target", "same") : null,
        gold ? cola.tag("gold", "right") : null,
      );
    }),
  );

cola.outputList = (detail) => {
  const after = detail.best ? (detail.best.prediction ?? "right (its text was not kept)") : "no chain is right";
  const rows = [
    ["gold", detail.gold],
    ["before: the whole model", detail.base?.prediction],
    ["after: the best chain", after],
  ];
  const items = rows.map(([name, text]) =>
    cola.h("div", {}, cola.h("dt", {}, name), cola.h("dd", {}, String(text ?? "–"))),
  );
  return cola.h("dl", { class: "output" }, items);
};

cola.controlText = (name, { reached, length, evaluations, layer_executions: spent }) => {
  const what = name === "decoy" ? "A decoy search, sent after a wrong answer," : "Random chains with the same simulations";
  const effort = `${cola.counted(evaluations, "evaluation")}, ${cola.counted(Math.round(spent), "layer execution")}`;
  return reached
    ? `${what} got there with ${cola.counted(length, "layer run")} (${effort}).`
    : `${what} did not get there (${effort}).`;
};

/* What a control that is no search counted on this sample. */
cola.probeText = (name, { tries, right, base_right: base, reached, refused }) => {
  if (refused || !tries) return `${cola.probeNames[name] ?? name}: not applicable, ${refused || "nothing to try"}.`;
  const beside = base === null ? "" : `, the whole model on ${base}`;
  const share = reached === null ? "" : `; at least one is right with probability ${cola.percent(reached)}`;
  return `${cola.probeNames[name] ?? name}: right on ${cola.number(right)} of ${tries}${beside}${share}.`;
};

cola.probeNames = {
  pass_at_k: "Answers drawn from the whole model",
  shuffle: "This chain with the options in another order",
  transfer: "This chain on other items",
  undo_one_edit: "This chain with one edit undone",
};

cola.costText = ({ counts, seconds, verification, controls, probes }) => {
  const controlled = [controls, probes].some((all) => Object.keys(all).length);
  const spent = [
    cola.counted(counts.evaluations, "evaluation"),
    cola.counted(Math.round(counts.layer_executions), "layer execution"),
    cola.counted(counts.simulations, "simulation"),
    `${cola.number(seconds)} s${controlled ? " with the controls" : ""}`,
  ];
  const { checked, agreed, near_ties: ties } = verification;
  const agree = `${agreed} of ${cola.counted(checked, "verdict")} ${agreed === 1 ? "agrees" : "agree"}`;
  return `${spent.join(", ")}. Verified one by one: ${agree}, ${cola.counted(ties, "near tie")}.`;
};

/* Why the best chain may be longer than a right one in the list below, or there be none. */
cola.refusedText = ({ best, chains }) => {
  const shorter = chains.filter(([text, correct]) => correct && (!best || cola.parseChain(text).length < best.length));
  const [word, were] = shorter.length === 1 ? ["chain", "was"] : ["chains", "were"];
  const kind = best ? `shorter ${word}` : word;
  return shorter.length ? `${shorter.length} ${kind} ${were} right to the search and not confirmed alone. ` : "";
};

/* The chain before and after, and what finding it took. */
cola.beforeAndAfter = (detail, numLayers) => {
  const { base, best, controls } = detail;
  const span = (text) => cola.h("span", {}, text);
  const agrees = base && (base.verified === null ? null : base.verified === base.correct);
  const before = base
    ? [cola.verdict(base.verified ?? base.correct), cola.margin(base.margin), span(cola.verified(agrees))]
    : [];
  const after = () => [
    cola.verdict(best.verified ?? best.correct),
    cola.margin(best.margin),
    span(cola.verified(best.verified)),
    cola.oracle(),
    cola.h("span", { class: "mono" }, best.chain),
  ];
  const note = (text) => cola.h("p", { class: "note" }, text);
  return cola.h(
    "div",
    { class: "panel" },
    cola.chainBlock("before: the whole model", d3.range(numLayers), numLayers, before),
    best
      ? cola.chainBlock("after: the shortest right chain", cola.parseChain(best.chain), numLayers, after())
      : note("No chain that was tried is shown to be right."),
    note(cola.refusedText(detail) + cola.costText(detail)),
    Object.entries(controls).map(([name, control]) => note(cola.controlText(name, control))),
    Object.entries(detail.probes).map(([name, probe]) => note(cola.probeText(name, probe))),
  );
};

cola.sampleBody = (row, detail, numLayers) => {
  const asked = cola.h("div", { class: "question" }, row.question);
  const answers = detail.choices ? cola.optionList(detail) : cola.outputList(detail);
  return [
    detail.error ? cola.h("p", { class: "notice" }, `This sample failed and enters no rate: ${detail.error}`) : "",
    cola.h("div", { class: "panel" }, asked, answers),
    cola.beforeAndAfter(detail, numLayers),
    cola.replay(detail, numLayers),
  ];
};

/* The sheet on the right-hand side; arrow keys step through the search of the sample. */
cola.sampleSheet = (numLayers) => {
  let order = [];
  let at = 0;
  const badge = cola.h("span");
  const title = cola.h("h2", { tabindex: -1, autofocus: true });
  const place = cola.h("span", { class: "note" });
  const body = cola.h("div", { class: "sheet" });
  const show = async (row, rows) => {
    [order, at] = [rows, rows.indexOf(row)];
    title.textContent = row.id;
    badge.replaceChildren(cola.badge(row.outcome));
    place.textContent = `${cola.number(at + 1, 0)} of ${cola.number(rows.length, 0)}`;
    if (!dialog.open) dialog.showModal();
    const detail = await cola.loadSample(row);
    if (order[at] !== row) return;
    body.replaceChildren(...cola.sampleBody(row, detail, numLayers));
    dialog.scrollTop = 0;
    history.replaceState(null, "", `#sample=${encodeURIComponent(row.id)}`);
  };
  const button = (text, label, onclick) =>
    cola.h("button", { class: "button", type: "button", "aria-label": label, onclick }, text);
  const go = (by) => order[at + by] && show(order[at + by], order);
  const buttons = [
    button("↑", "previous sample", () => go(-1)),
    button("↓", "next sample", () => go(1)),
    button("✕", "close", () => dialog.close()),
  ];
  const head = cola.h(
    "div",
    { class: "sheet-head" },
    badge,
    title,
    cola.h("span", { class: "space" }),
    place,
    buttons,
  );
  const dialog = cola.h("dialog", { "aria-label": "sample" }, head, body);
  dialog.addEventListener("close", () => {
    body.replaceChildren();
    history.replaceState(null, "", location.pathname + location.search);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("keydown", (event) => {
    const name = { ArrowLeft: "back", ArrowRight: "forward" }[event.key];
    if (name && !event.target.matches("input")) body.querySelector(`[data-step="${name}"]`)?.click();
  });
  return { dialog, show };
};
