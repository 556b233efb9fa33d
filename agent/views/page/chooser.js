// The slider: which of the page's policies is shown.
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const prefersReducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;

function setUpChooser(onChoice) {
  const slider = element("policy");
  const choose = () => {
    const policy = data.policies[slider.value];
    element("policy-name").textContent = policy.label;
    slider.setAttribute("aria-valuetext", policy.label);
    onChoice(policy);
  };
  element("chooser").hidden = data.policies.length === 1;
  slider.max = data.policies.length - 1;
  slider.value = slider.max;
  slider.addEventListener("input", choose);
  choose();
}
