"use strict";
// Before anything is drawn, so that a dark page never flashes white.
(() => {
  let kept = null;
  try {
    kept = localStorage.getItem("cnnexp-theme");
  } catch {
    // Some browsers keep nothing for a file from a disk.
  }
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
})();
