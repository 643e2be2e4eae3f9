"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function colours(layout) {
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const changes = {
    "font.color": colour("--ink"), "font.family": "system-ui, sans-serif",
    paper_bgcolor: colour("--ground"), plot_bgcolor: colour("--ground"),
    "hoverlabel.bgcolor": colour("--raised"), "hoverlabel.font.color": colour("--ink"),
  };
  for (const axis of Object.keys(layout).filter(key => /^[xy]axis\d*$/.test(key))) {
    for (const part of ["gridcolor", "linecolor", "zerolinecolor"]) changes[`${axis}.${part}`] = colour("--line");
  }
  return changes;
}

function draw(place, figure) {
  const recolour = () => Plotly.relayout(place, colours(place.layout));
  const isNew = !place.on;
  return Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true }).then(() => {
    if (isNew) {
      dark.addEventListener("change", recolour);
      place.on("plotly_click", event => {
        const target = event.points?.[0]?.customdata;
        if (target) location.href = target;
      });
      place.on("plotly_hover", event => {
        place.querySelector(".nsewdrag").style.cursor = event.points?.[0]?.customdata ? "pointer" : "";
      });
    }
    return recolour();
  });
}

for (const [id, figure] of Object.entries(figures)) draw(document.getElementById(id), figure);
