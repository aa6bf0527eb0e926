// Draws the charts of a page with uPlot. Without scripts, the numbers below each chart are there as a table.
"use strict";
(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const short = (value) => (value === null || value === undefined ? "" : String(Number(value.toPrecision(6))));
  const moment = (seconds, from = 0) => new Date(1000 * seconds).toISOString().slice(from, 16).replace("T", " ");
  const days = (seconds) => moment(seconds).slice(0, 10);
  const hours = (seconds) => moment(seconds, 5); // without the year

  function makeSeries(line) {
    const stroke = color(line.color);
    const series = { label: line.label, stroke, width: 2, value: (_, value) => short(value) };
    if (line.kind === "points" || line.kind === "rings") {
      const fill = line.kind === "rings" ? color("back") : stroke;
      return { ...series, paths: () => null, points: { show: true, size: line.kind === "rings" ? 12 : 7, width: 2, stroke, fill } };
    }
    if (line.kind === "steps") {
      return { ...series, width: 1, dash: [5, 4], spanGaps: true, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } };
    }
    return { ...series, spanGaps: true };
  }

  function draw(figure) {
    const chart = JSON.parse(figure.dataset.chart);
    const place = figure.querySelector(".plot");
    place.replaceChildren();
    const axis = {
      stroke: color("soft"),
      grid: { stroke: color("line"), width: 1 },
      ticks: { stroke: color("line"), width: 1 },
    };
    const times = { values: (_, ticks, __, ___, step) => ticks.map(step < 86400 ? hours : days), space: 90 };
    const whole = chart.x.every(Number.isInteger) && !chart.time;
    const options = {
      width: Math.max(place.clientWidth, 200),
      height: 260,
      tzDate: (seconds) => uPlot.tzDate(new Date(1000 * seconds), "Etc/UTC"),
      scales: { x: { time: chart.time } },
      axes: [
        { ...axis, label: chart.xLabel, labelSize: 24, ...(chart.time ? times : {}), ...(whole ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 1e4, 1e5, 1e6, 1e7], values: (_, ticks) => ticks.map(String) } : {}) },
        { ...axis, size: 70, values: (_, ticks) => ticks.map(short) },
      ],
      series: [
        { label: chart.xLabel, value: (_, value) => (value === null ? "" : chart.time ? `${moment(value)} UTC` : whole ? String(value) : short(value)) },
        ...chart.lines.map(makeSeries),
      ],
    };
    new uPlot(options, [chart.x, ...chart.lines.map((line) => line.values)], place);
  }

  const drawAll = () => document.querySelectorAll("figure.chart").forEach(draw);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) {
      width = innerWidth;
      drawAll();
    }
  });
})();
