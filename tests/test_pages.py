"""``fastppo export --format html``: what the page contains, and how it plays in a browser."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import gymnasium
import keras
import numpy as np
import pytest
from runs import BALANCING, TO_THE_LEFT, TO_THE_RIGHT, invoke, let_act_by, message_of

import fastcartpole  # noqa: F401
from agent.learning.networks import build_actor
from agent.views import pages
from agent.views.pages import MAX_BYTES, PageError, ShownPolicy, layers_of, write_live_page, write_recorded_page

STATES = np.random.default_rng(3).uniform(-0.05, 0.05, size=(10, 4))


def actor_acting_by(weights, scale=40.0):
    actor = build_actor(4, 2, (64, 64), seed=0)
    let_act_by(actor, weights, scale)
    return actor


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Return a page of three policies: to the left, to the right, and one that balances the pole."""
    path = tmp_path_factory.mktemp("page") / "policy.html"
    weights = (TO_THE_LEFT, TO_THE_RIGHT, BALANCING)
    policies = [ShownPolicy(f"after epoch {n}", actor_acting_by(each)) for n, each in enumerate(weights)]
    write_live_page(path, policies, "A <title> & more", "A note")
    return path


def data_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1])


class Elements(HTMLParser):
    """Collects the elements of a page that would load something."""

    def __init__(self):
        super().__init__()
        self.loaded = []

    def handle_starttag(self, tag, attrs):
        self.loaded += [(tag, value) for name, value in attrs if name in ("src", "href", "data", "srcset")]


def test_a_page_needs_nothing_but_itself(page_file):
    text = page_file.read_text(encoding="utf-8")
    elements = Elements()
    elements.feed(text)
    assert elements.loaded == [("link", "data:,")]
    assert not re.findall(r"https?:|//\w+\.|@import|url\(|fetch\(|import\(", text)
    assert len(text.encode()) <= MAX_BYTES == 200_000
    assert "<title>A &lt;title&gt; &amp; more</title>" in text


def test_the_page_of_the_documentation_is_what_the_command_writes_today():
    path = Path(__file__).parents[1] / "docs" / "play.html"
    title, note = (
        re.search(pattern, path.read_text(encoding="utf-8"))[1] for pattern in ("<h1>(.*)</h1>", 'note">(.*)</p>')
    )
    assert path.read_text(encoding="utf-8") == pages._live_page(title, note, data_of(path)["policies"])


def test_a_run_of_cartpole_becomes_a_page_of_policies_from_first_to_last(copied_run):
    result = invoke("export", copied_run, "--format", "html")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Saved in {copied_run / 'policy.html'} (")
    labels = [policy["label"] for policy in data_of(copied_run / "policy.html")["policies"]]
    assert labels[0] == "before training"
    assert labels[-1] == f"after epoch {len((copied_run / 'metrics.csv').read_text().splitlines()) - 1}"
    again = invoke("export", copied_run, "--format", "html", "--epoch", "0", "2", "--overwrite")
    assert again.exit_code == 0, again.output
    labels = [policy["label"] for policy in data_of(copied_run / "policy.html")["policies"]]
    assert labels == ["before training", "after epoch 2"]


def test_an_actor_becomes_a_page_with_one_policy(copied_run, tmp_path):
    result = invoke("export", copied_run / "actor.keras", "--format", "html", "--out", tmp_path / "mine.html")
    assert result.exit_code == 0, result.output
    (policy,) = data_of(tmp_path / "mine.html")["policies"]
    assert policy["label"] == "actor.keras"


def test_a_run_that_cannot_be_trained_again_shows_its_last_policy_and_says_so(copied_run):
    lines = (copied_run / "metrics.csv").read_text().splitlines()
    cells = lines[1].split(",")
    cells[lines[0].split(",").index("value_loss")] = "123.0"
    (copied_run / "metrics.csv").write_text("\n".join([lines[0], ",".join(cells), *lines[2:], ""]))
    result = invoke("export", copied_run, "--format", "html")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("Only the last policy is on the page: epoch 1 differs from the recorded one")
    (policy,) = data_of(copied_run / "policy.html")["policies"]
    assert policy["label"] == "at the end of training"
    assert (
        invoke("export", copied_run, "--format", "html", "--epoch", "0", "--epoch", "1", "--overwrite").exit_code == 1
    )


@pytest.mark.parametrize("file_format", ["keras", "onnx", "saved_model"])
def test_epochs_are_for_pages_only(copied_run, file_format):
    result = invoke("export", copied_run, "--format", file_format, "--epoch", "0")
    assert "--epoch is for --format html; the other formats take the last policy." in message_of(result)


def test_an_epoch_beyond_the_last_is_refused(copied_run):
    result = invoke("export", copied_run, "--format", "html", "--epoch", "999")
    assert "999 is beyond the last epoch" in message_of(result)


def test_a_page_that_would_be_too_large_is_not_written(tmp_path):
    large = build_actor(4, 2, (300, 300), seed=0)
    with pytest.raises(PageError, match="at most 200,000 are allowed: the actor is too large"):
        write_live_page(tmp_path / "page.html", [ShownPolicy("last", large)], "Title", "Note")
    many = [ShownPolicy(f"after epoch {n}", build_actor(4, 2, (64, 64), seed=n)) for n in range(9)]
    with pytest.raises(PageError, match=r"a page with 9 policies .*: choose fewer epochs"):
        write_live_page(tmp_path / "page.html", many, "Title", "Note")
    assert not list(tmp_path.iterdir())


def normalized_actor():
    inputs = keras.Input((4,))
    normalization = keras.layers.Normalization(mean=[0.1, 0.2, -0.1, 0.0], variance=[1.0, 4.0, 0.04, 0.5])
    hidden = keras.ops.clip(normalization(inputs), -1.0, 1.0)
    return keras.Model(inputs, build_actor(4, 2, (8, 4), seed=5, activation="elu")(hidden))


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
def test_a_page_knows_every_activation_that_an_agent_can_have(activation):
    assert len(layers_of(build_actor(4, 2, (8, 4), seed=0, activation=activation))) == 3


def test_a_page_knows_normalized_observations():
    assert [layer["kind"] for layer in layers_of(normalized_actor())] == ["normalization", "clip", *["dense"] * 3]


def test_a_page_never_shows_a_network_that_it_computes_otherwise():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4)(inputs)
    branched = keras.Model(inputs, keras.layers.Dense(2)(hidden + inputs))
    assert layers_of(branched) is None
    gelu = keras.Sequential([inputs, keras.layers.Dense(4, activation="gelu"), keras.layers.Dense(2)])
    assert layers_of(gelu) is None
    in_parallel = keras.Model(inputs, keras.layers.Dense(2)(inputs * 2.0))
    assert layers_of(in_parallel) is None


@pytest.mark.slow
def test_a_network_that_a_page_cannot_compute_is_shown_in_recorded_episodes(tmp_path):
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4, activation="gelu")(inputs)
    keras.Model(inputs, keras.layers.Dense(2)(hidden)).save(tmp_path / "gelu.keras")
    result = invoke("export", tmp_path / "gelu.keras", "--format", "html")
    assert result.exit_code == 0, result.output
    (policy,) = data_of(tmp_path / "policy.html")["policies"]
    assert policy["figures"].startswith("Return ")


@pytest.mark.slow
def test_another_environment_is_shown_in_recorded_episodes(tmp_path):
    from agent.environments.making import EnvironmentSource

    source = EnvironmentSource("Acrobot-v1")
    actors = [ShownPolicy(f"after epoch {n}", build_actor(6, 3, (8,), seed=n)) for n in range(3)]
    size = write_recorded_page(tmp_path / "page.html", source, source.describe(), actors, "Acrobot-v1", "Note")
    assert size == (tmp_path / "page.html").stat().st_size <= MAX_BYTES
    policies = data_of(tmp_path / "page.html")["policies"]
    assert [policy["label"] for policy in policies] == ["after epoch 0", "after epoch 1", "after epoch 2"]
    assert all(re.fullmatch(r"Return -[\d.]+ in \d+ steps", policy["figures"]) for policy in policies)


# In a browser.


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium; without one, the tests that need it are skipped and say so."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
    with api.sync_playwright() as playwright:
        names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        path = next(filter(None, map(shutil.which, names)), None)
        try:
            # Root, as in containers, may not use Chromium's own sandbox.
            chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium was found: {str(error).splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Return a function that opens a page, and fails if it reports an error or asks for anything else."""
    contexts, faults = [], []

    def open_page(path, **settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:")) else faults.append(request)
        )
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


ROLLOUT = """([state, policy, numSteps]) => {
    const layers = data.policies[policy].layers.map(decodedLayer);
    const states = [state], actions = [], chances = [];
    for (let step = 0; step < numSteps; step += 1) {
        const [left, right] = probabilities(layers, states.at(-1));
        actions.push(right > left ? 1 : 0);
        chances.push([left, right]);
        const force = actions.at(-1) === 1 ? physics.force_magnitude : -physics.force_magnitude;
        states.push(nextState(states.at(-1), force, physics));
    }
    return { states, actions, chances };
}"""


def test_a_trajectory_of_500_steps_is_that_of_fastcartpole(opened, page_file):
    page = opened(page_file)
    environment = gymnasium.make("fastcartpole/CartPole-v1", max_episode_steps=-1)
    agreeing = 0
    for state in STATES:
        played = page.evaluate(ROLLOUT, [state.tolist(), 2, 500])
        actual = np.array(played["states"])
        environment.reset(seed=0)
        environment.unwrapped.state = state
        expected = [state]
        for action in played["actions"]:
            environment.step(action)
            expected.append(np.array(environment.unwrapped.state))
        difference = np.abs(actual - expected)
        # One step differs by roundings only, whatever came before.
        assert difference[1].max() <= 1e-15
        assert np.abs(actual[:, 0]).max() < 2.4
        agreeing += difference.max() <= 1e-9
    # The C library's sine is not always correctly rounded; a balanced pole then amplifies the difference.
    assert agreeing >= 8


def test_probabilities_are_those_of_the_actor(opened, tmp_path):
    actors = [build_actor(4, 2, (16, 8), seed=1, activation=name) for name in ("tanh", "relu", "elu", "silu")]
    for actor in actors:
        actor.set_weights([3.0 * weights for weights in actor.get_weights()])
    actors.append(normalized_actor())
    policies = [ShownPolicy(str(n), actor) for n, actor in enumerate(actors)]
    write_live_page(tmp_path / "page.html", policies, "Title", "Note")
    page = opened(tmp_path / "page.html")
    observations = np.random.default_rng(4).normal(size=(50, 4)).astype(np.float32)
    for n, actor in enumerate(actors):
        expected = np.asarray(keras.ops.softmax(actor(observations)))
        actual = page.evaluate(
            "([rows, n]) => rows.map((row) => probabilities(data.policies[n].layers.map(decodedLayer), row))",
            [observations.tolist(), n],
        )
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_sines_are_correctly_rounded(opened, page_file):
    page = opened(page_file)
    angles = np.random.default_rng(5).uniform(-0.3, 0.3, size=2000)
    sines, cosines = page.evaluate("(angles) => [angles.map(sine), angles.map(cosine)]", angles.tolist())
    # Extended precision rounds correctly but where the value lies within its own error of the middle of two numbers.
    extended = angles.astype(np.longdouble)
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("this machine has no extended precision")
    assert np.mean(np.array(sines) == np.sin(extended).astype(np.float64)) > 0.998
    assert np.mean(np.array(cosines) == np.cos(extended).astype(np.float64)) > 0.998


def number_of_steps(page):
    return page.evaluate("episode.steps")


def test_a_person_plays_with_the_keyboard_alone(opened, page_file):
    page = opened(page_file)
    page.wait_for_function("episode.steps > 10")
    page.keyboard.press("Space")
    assert page.get_by_role("button", name="Play").is_visible()
    stopped = number_of_steps(page)
    page.wait_for_timeout(200)
    assert number_of_steps(page) == stopped
    page.keyboard.press("Space")
    page.wait_for_function(f"episode.steps > {stopped}")
    # The balancing policy is pushed off its feet by a steady push: the force is felt.
    page.keyboard.press("r")
    page.keyboard.down("ArrowRight")
    assert page.evaluate("userForce() === physics.force_magnitude")
    page.wait_for_function("episode.state[0] > 0.2 || episode.isOver")
    page.wait_for_function("document.getElementById('news').textContent.startsWith('The episode ended after')")
    page.keyboard.up("ArrowRight")
    assert page.evaluate("userForce() === 0")
    page.wait_for_function("!episode.isOver")


def test_the_slider_chooses_the_policy_with_the_keyboard(opened, page_file):
    page = opened(page_file)
    slider = page.get_by_role("slider", name="Policy")
    assert page.locator("#policy-name").text_content() == "after epoch 2"
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#policy-name").text_content() == "after epoch 1"
    assert slider.get_attribute("aria-valuetext") == "after epoch 1"
    # Its keys are its own: the cart is not pushed.
    assert page.evaluate("userForce() === 0")
    page.wait_for_function("episode.isOver && episode.state[0] > 0")
    page.keyboard.press("Home")
    page.wait_for_function("episode.isOver && episode.state[0] < 0")


def test_buttons_push_while_they_are_held(opened, page_file):
    page = opened(page_file, has_touch=True, viewport={"width": 390, "height": 844})
    box = page.get_by_role("button", name="Push the cart to the left").bounding_box()
    assert box["height"] >= 44
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    assert page.evaluate("userForce() === -physics.force_magnitude")
    page.mouse.up()
    assert page.evaluate("userForce() === 0")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_a_page_fits_its_window_and_every_control_has_a_name(opened, page_file, width):
    page = opened(page_file, viewport={"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("heading", level=1).count() == 1
    names = [
        control.get_attribute("aria-label") or control.text_content() for control in page.get_by_role("button").all()
    ]
    assert len(names) == 4
    assert all(name.strip() for name in names)
    assert page.get_by_role("checkbox", name="Sample actions").is_visible()
    assert page.get_by_role("img", name="balances a pole").is_visible()


def test_reduced_motion_waits_for_the_person(opened, page_file):
    page = opened(page_file, reduced_motion="reduce")
    page.wait_for_timeout(200)
    assert number_of_steps(page) == 0
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("episode.steps > 0")


@pytest.mark.slow
def test_recorded_episodes_play_in_the_browser(opened, tmp_path):
    from agent.environments.making import EnvironmentSource

    source = EnvironmentSource("MountainCar-v0")
    policies = [ShownPolicy(f"after epoch {n}", build_actor(2, 3, (8,), seed=n)) for n in range(2)]
    write_recorded_page(tmp_path / "page.html", source, source.describe(), policies, "MountainCar-v0", "Note")
    page = opened(tmp_path / "page.html")
    page.wait_for_function("document.getElementById('episode').videoWidth > 0")
    assert page.locator("#figures").text_content().startswith("Return -")
    page.get_by_role("slider", name="Policy").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.getElementById('episode').ariaLabel.endsWith('after epoch 0')")
