"use strict";
const scans = JSON.parse(document.getElementById("scans").textContent);
const [BLUE, ORANGE, GREY] = ["#0072b2", "#d55e00", "#8a929c"];

function band(x0, x1, fillcolor) {
  return { type: "rect", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, fillcolor, line: { width: 0 }, layer: "below" };
}

function curves(scan) {
  const [reference, model] = [{ color: GREY, width: 4 }, { color: BLUE, width: 1.8 }];
  const curve = (y, axis, name, line) => ({ x: scan.lengths, y, yaxis: axis, name, line, mode: "lines", showlegend: axis === "y" });
  const middles = scan.lengths.slice(1).map((length, i) => (length + scan.lengths[i]) / 2);
  const stress = scan.stress ? [curve(scan.reference_stress, "y5", "reference", reference), curve(scan.stress, "y5", "model", model)] : [];
  return [
    ...stress,
    curve(scan.reference_energies, "y", "reference", reference),
    curve(scan.energies, "y", "model", model),
    curve(scan.reference_deviations, "y2", "reference", reference),
    curve(scan.deviations, "y2", "model", model),
    curve(scan.lengths.map(() => 0), "y3", "reference", reference),
    curve(scan.log_ratio, "y3", "model", model),
    { ...curve(scan.slope, "y4", "model", { ...model, shape: "hvh" }), x: middles },
  ];
}

function marks(scan) {
  const [first, equilibrium, last] = [scan.lengths[0], scan.lengths[scan.equilibrium], scan.lengths.at(-1)];
  const line = { color: GREY, width: 1, dash: "dash" };
  const across = (axis, y, dash) => ({ type: "line", xref: "x", yref: axis, x0: first, x1: last, y0: y, y1: y, line: { ...line, dash } });
  const shapes = [
    band(first, equilibrium, "rgba(86, 180, 233, 0.13)"),
    band(equilibrium, last, "rgba(240, 228, 66, 0.11)"),
    { type: "line", xref: "x", yref: "paper", x0: equilibrium, x1: equilibrium, y0: 0, y1: 1, line },
    across("y2", scan.floor, "dot"),
    across("y4", scan.zero_smoothness, "dash"),
  ];
  const note = { showarrow: false, xref: "x", font: { size: 11 }, xanchor: "left" };
  const annotations = [
    { ...note, x: equilibrium, yref: "paper", y: 1, yanchor: "bottom", text: `equilibrium, ${equilibrium.toFixed(2)} Å` },
    { ...note, x: last, xanchor: "right", yref: "y4", y: scan.zero_smoothness, yanchor: "bottom", text: `FSD of zero ${scan.stress ? "stress" : "forces"}` },
  ];
  if (scan.steepest !== null) {
    const [left, right] = scan.lengths.slice(scan.steepest, scan.steepest + 2);
    shapes.push(band(left, right, "rgba(213, 94, 0, 0.45)"));
    const text = `steepest, ${scan.slope[scan.steepest].toFixed(1)} 1/Å`;
    annotations.push({ ...note, x: right, yref: "y4", y: scan.slope[scan.steepest], yanchor: "top", text, font: { size: 11, color: ORANGE } });
  }
  return { shapes, annotations };
}

function scanFigure(scan, height) {
  const y = (title, more) => ({ title: { text: title, standoff: 4 }, automargin: true, zeroline: false, ...more });
  const bottom = -0.08 * scan.energy_top;
  const rows = scan.stress ? ["y", "y5", "y2", "y3", "y4"] : ["y", "y2", "y3", "y4"];
  const layout = {
    ...marks(scan), height, template: "none", margin: { l: 70, r: 20, t: 50, b: 50 }, hovermode: "x", hoversubplots: "axis",
    grid: { rows: rows.length, columns: 1, subplots: rows.map((axis) => [`x${axis}`]), ygap: 0.12 },
    legend: { orientation: "h", x: 1, xanchor: "right", y: 1.035, yanchor: "bottom" },
    xaxis: { title: { text: `${scan.coordinate}, Å` }, anchor: "y4", zeroline: false, range: [scan.lengths[0], scan.lengths.at(-1)] },
    yaxis: y("energy, eV", scan.energy_top ? { range: [bottom, scan.energy_top] } : {}),
    yaxis2: y("deviation², (eV/Å)²", { type: "log", exponentformat: "power", nticks: 5 }),
    yaxis3: y("log ratio", {}),
    yaxis4: y("slope, 1/Å", { rangemode: "tozero" }),
    ...(scan.stress ? { yaxis5: y("mean stress, eV/Å³", {}) } : {}),
  };
  return { data: curves(scan), layout };
}

function drawScan(figure, name, height) {
  figure.querySelector("figcaption").textContent = scans[name].title;
  draw(figure.querySelector(".plot"), scanFigure(scans[name], scans[name].stress ? 1.25 * height : height));
}

const chosen = document.querySelector(".chosen");
function drawChosen() {
  const asked = decodeURIComponent(location.hash.slice(1));
  const name = Object.hasOwn(scans, asked) ? asked : chosen.dataset.scan;
  drawScan(chosen, name, 820);
  chosen.id = name;
  if (name === asked) chosen.scrollIntoView();
}

if (chosen) {
  drawChosen();
  addEventListener("hashchange", drawChosen);
}
for (const figure of document.querySelectorAll(".gallery figure")) drawScan(figure, figure.dataset.scan, 620);
