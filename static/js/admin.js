/* Draws the charts of the admin's usage page from the JSON that the page carries. */
"use strict";

(() => {
  const SERIES = { done: "#3f9c63", retried: "#dd9f2c", failed: "#d1493f", cancelled: "#9aa3b0" };

  function draw(canvas, labels, datasets, stacked) {
    const dark = document.documentElement.classList.contains("dark");
    const text = dark ? "#9ca7b7" : "#596273";
    const line = dark ? "#2d3643" : "#dde1e7";
    return new Chart(canvas, {
      type: "bar",
      data: { labels, datasets },
      options: {
        animation: false,
        maintainAspectRatio: false,
        plugins: { legend: { display: datasets.length > 1, position: "bottom", labels: { color: text, boxWidth: 12 } } },
        scales: {
          x: { stacked, ticks: { color: text }, grid: { display: false } },
          y: { stacked, beginAtZero: true, ticks: { color: text, precision: 0 }, grid: { color: line } },
        },
      },
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const holder = document.getElementById("sq-usage");
    if (!holder) return;
    const usage = JSON.parse(holder.textContent);
    const outcomes = Object.entries(usage.outcomes).map(([label, data]) => ({
      label,
      data,
      backgroundColor: SERIES[label],
    }));
    const minutes = [{ label: "minutes", data: usage.minutes, backgroundColor: "#3b78e0" }];
    for (const canvas of document.querySelectorAll("canvas[data-sq-chart]")) {
      const stacked = canvas.dataset.sqChart === "outcomes";
      draw(canvas, usage.days, stacked ? outcomes : minutes, stacked);
    }
  });
})();
