// Before the first paint, so that a dark page never flashes white. A file of its own: the policy allows no inline script.
(function () {
  try {
    var theme = localStorage.getItem("prosa.theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch (_) {
    // Without storage the system's appearance is taken.
  }
})();
