setUpChooser((policy) => {
  const video = element("episode");
  video.src = "data:video/mp4;base64," + policy.video;
  video.setAttribute("aria-label", `An episode of the policy ${policy.label}`);
  element("figures").textContent = policy.figures;
  if (!prefersReducedMotion) {
    // If the browser refuses to start playback by itself, the viewer can use the video's controls.
    video.play().catch(() => {});
  }
});
