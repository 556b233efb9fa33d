setUpChooser((policy) => {
  const video = element("episode");
  video.src = "data:video/mp4;base64," + policy.video;
  video.setAttribute("aria-label", `An episode of the policy ${policy.label}`);
  element("figures").textContent = policy.figures;
  if (!prefersReducedMotion) {
    // A browser may refuse to start by itself; its own controls do then.
    video.play().catch(() => {});
  }
});
