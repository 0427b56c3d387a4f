"""Every variant of distillation and SFT on canned tensors, against its formula spelled out in float64."""

from types import SimpleNamespace

import pytest
import torch
from warmrl_opd.config import KDRLConfig, OPDConfig, OPSDConfig
from warmrl_opd.kdrl import KDRL
from warmrl_opd.method import OPD
from warmrl_opd.opsd import OPSD, told
from warmrl_sft.config import SFTConfig
from warmrl_sft.method import SFT

from warmrl.api import DataError, Problem
from warmrl.packed.head import score_tokens
from warmrl.plugin.registry import Registry

N, H, HT, V, K = 13, 16, 24, 41, 5
TOLERANCE = 1e-6
TEACHER = {"use": "local", "path": "pocket:teacher"}
KINDS = {"opd": (OPD, OPDConfig), "kdrl": (KDRL, KDRLConfig), "opsd": (OPSD, OPSDConfig), "sft": (SFT, SFTConfig)}
SAMPLED = {"divergence": "sampled", "clamp": 1.5, "logprob_floor": -4.0, "clip_low": 0.1, "clip_high": 0.28}
# Each variant, and settings under which it is another loss.
VARIANTS = {
    "reverse": ("opd", {}, {"divergence": "forward"}),
    "forward": ("opd", {"divergence": "forward"}, {"divergence": "reverse"}),
    "jsd": ("opd", {"divergence": "jsd", "beta": 0.3}, {"beta": 0.5}),
    "top-k reverse": ("opd", {"top_k": K}, {"divergence": "jsd"}),
    "top-k forward": ("opd", {"top_k": K, "divergence": "forward"}, {"divergence": "reverse"}),
    "top-k jsd": ("opd", {"top_k": K, "divergence": "jsd", "beta": 0.3}, {"beta": 0.5}),
    "sampled": ("opd", SAMPLED, {"logprob_floor": None}),
    "sampled, clipped elsewhere": ("opd", SAMPLED, {"clip_high": 0.05}),
    "sampled, clamped elsewhere": ("opd", SAMPLED, {"clamp": 1.0}),
    "sampled, capped": ("opd", {**SAMPLED, "importance_cap": 1.2}, {"importance": "off"}),
    "teacher's samples": ("opd", {"teacher_steps": 1}, {"teacher_steps": 0}),
    "teacher's samples, sampled": ("opd", {**SAMPLED, "teacher_steps": 1}, {"teacher_steps": 0}),
    "kdrl": ("kdrl", {"teacher_weight": 0.4}, {"teacher_weight": 0.5}),
    "kdrl, top-k": ("kdrl", {"teacher_weight": 0.4, "top_k": K}, {"clip_low": 0.3}),
    "kdrl, sampled": ("kdrl", {**SAMPLED, "teacher_weight": 0.4}, {"importance": "off"}),
    "opsd": ("opsd", {}, {"beta": 0.4}),
    "sdft": ("opsd", {"divergence": "forward"}, {"divergence": "reverse"}),
    "opsd, sampled": ("opsd", SAMPLED, {"importance_cap": 1.1}),
    "dft": ("sft", {"weighting": "dft"}, {"weighting": "none"}),
}


def method_of(kind, settings, head):
    """A method as its stage has it after `groups(0)`; the teacher is a head."""
    implementation, config = KINDS[kind]
    table = settings | ({"teacher": TEACHER} if kind in ("opd", "kdrl") else {})
    config = config.model_validate(table, context={"registry": Registry.installed()})
    problems = [Problem(str(number), (), "", solution="") for number in range(2)]
    method = implementation(config, SimpleNamespace(name="warm", problems=problems, seed=0))
    method.teacher, method.head = SimpleNamespace(head_weight=head), head
    method.by_teacher = bool(settings.get("teacher_steps"))
    return method


@pytest.fixture(scope="module")
def canned():
    """A student, a teacher, what they said of the tokens, advantages, and weights that sum to 1; in float64."""
    draw = torch.Generator().manual_seed(4)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    one = SimpleNamespace(hidden=normal(N, H), head=0.3 * normal(V, H), th=normal(N, HT), tw=0.3 * normal(V, HT))
    one.targets = torch.randint(0, V, (N,), generator=draw)
    one.weight = normal(N).abs() / N
    at = (torch.arange(N), one.targets)
    one.log_p, one.log_q = (one.hidden @ one.head.t()).log_softmax(1), (one.th @ one.tw.t()).log_softmax(1)
    one.old = one.log_p[at] + 0.3 * normal(N)
    one.sampler = one.old + 0.3 * normal(N)
    one.advantage = normal(N)
    top = one.log_q.topk(K)
    one.columns = {
        "weight": one.weight, "teacher_hidden": one.th, "teacher_logprob": one.log_q[at], "old_logprob": one.old,
        "sampler_logprob": one.sampler, "advantage": one.advantage, "teacher_top_logprobs": top.values,
        "teacher_top_ids": top.indices,
    }  # fmt: skip
    return one


def formula(canned, kind, settings):
    """Loss and gradients by hidden states and head, token by token, as the papers write it."""
    hidden, head = canned.hidden.clone().requires_grad_(), canned.head.clone().requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    for t in range(N):
        p, q = (hidden[t] @ head.t()).softmax(0), canned.log_q[t].exp()
        loss = loss + canned.weight[t] * of_token(canned, kind, settings, t, p, q)
    return loss.detach(), *torch.autograd.grad(loss, (hidden, head))


def of_token(canned, kind, settings, t, p, q):
    """What token t adds, given both distributions over the vocabulary."""
    y = int(canned.targets[t])
    if kind == "sft":
        return -p[y].detach() * p[y].log() if settings["weighting"] == "dft" else -p[y].log()
    divergence = settings.get("divergence", "jsd" if kind == "opsd" else "reverse")
    rewarded = kind == "kdrl" and not settings.get("teacher_steps")
    if settings.get("teacher_steps"):
        own = q[y].log() - p[y].log() if divergence == "sampled" else (q * (q / p).log()).sum()
    elif divergence == "sampled":
        floor = settings.get("logprob_floor") or -1e9
        ratio = max(float(q[y].log()), floor) - max(float(canned.old[t]), floor)
        own = gradient(canned, settings, t, p[y], max(min(ratio, settings["clamp"]), -settings["clamp"]))
    else:
        own = divergence_of(*outcomes(canned, settings, t, p, q), divergence, settings.get("beta", 0.5))
    if not rewarded:
        return own
    return gradient(canned, settings, t, p[y], float(canned.advantage[t])) + settings["teacher_weight"] * own


def gradient(canned, settings, t, p, advantage):
    """PPO's clipped surrogate of one token, weighed by how much likelier the policy was to sample it."""
    importance = min(float((canned.old[t] - canned.sampler[t]).exp()), settings.get("importance_cap", 2.0))
    if settings.get("importance") == "off":
        importance = 1.0
    ratio = p / canned.old[t].exp()
    low, high = 1 - settings.get("clip_low", 0.2), 1 + settings.get("clip_high", 0.2)
    now = float(ratio.detach())
    clipped = min(max(now, low), high)  # where this is the smaller, no gradient comes through
    return -importance * (ratio * advantage if now * advantage <= clipped * advantage else clipped * advantage)


def outcomes(canned, settings, t, p, q):
    """Both distributions as they are compared: whole, or over the teacher's k most probable tokens and the rest."""
    if "top_k" not in settings:
        return p, q
    ids, rest = q.argsort(descending=True).split([settings["top_k"], V - settings["top_k"]])
    return tuple(torch.cat([one[ids], one[rest].sum()[None]]) for one in (p, q))


def divergence_of(p, q, divergence, beta):
    """KL(p || q), KL(q || p), or the generalised Jensen-Shannon divergence with m = beta q + (1 - beta) p."""
    if divergence == "reverse":
        return (p * (p / q).log()).sum()
    if divergence == "forward":
        return (q * (q / p).log()).sum()
    m = beta * q + (1 - beta) * p
    return beta * (q * (q / m).log()).sum() + (1 - beta) * (p * (p / m).log()).sum()


def found(canned, kind, settings):
    """The same by the method's loss and the head, in float32; two chunks."""
    columns = {name: one.float() if one.is_floating_point() else one for name, one in canned.columns.items()}
    method = method_of(kind, settings, canned.tw.float())
    hidden, head = canned.hidden.float().requires_grad_(), canned.head.float().requires_grad_()
    out = score_tokens(hidden, head, canned.targets, method.loss(SimpleNamespace(columns=columns)), chunk=8)
    return out.loss.detach(), *torch.autograd.grad(out.loss, (hidden, head))


def gap(one, other):
    """The largest relative difference of loss and gradients."""
    return max(float((a.double() - b).norm() / b.norm()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_loss_and_gradients(canned, name):
    """Each variant is its formula; the settings beside it make another loss, and the formula follows them there."""
    kind, settings, change = VARIANTS[name]
    measured, other = found(canned, kind, settings), found(canned, kind, settings | change)
    expected = formula(canned, kind, settings)
    print(f"{name}: {gap(measured, expected):.1e}")
    assert gap(measured, expected) <= TOLERANCE
    assert gap(other, expected) > 1000 * TOLERANCE
    assert gap(other, formula(canned, kind, settings | change)) <= TOLERANCE


@pytest.mark.parametrize("settings", [{}, {"divergence": "jsd"}, {"divergence": "sampled"}, {"teacher_steps": 1}])
def test_a_teacher_that_is_the_student_has_nothing_to_say(canned, settings):
    loss = method_of("opd", settings, canned.head.float())
    columns = {"weight": canned.weight.float(), "teacher_hidden": canned.hidden.float()}
    hidden, head = canned.hidden.float().requires_grad_(), canned.head.float()
    columns["teacher_logprob"] = score_tokens(hidden.detach(), head, canned.targets).logprob
    out = score_tokens(hidden, head, canned.targets, loss.loss(SimpleNamespace(columns=columns)))
    out.loss.backward()
    assert abs(float(out.loss.detach())) < 1e-6 and float(hidden.grad.norm()) < 1e-6


def test_a_hint_is_filled_in_once():
    problem = Problem("p", (), "{solution}", solution="say {answer} {}")
    assert told("a {solution} b {answer} {other}", problem) == "a say {answer} {} b {solution} {other}"


def test_a_teacher_without_a_solution_to_show_is_refused():
    stage = SimpleNamespace(name="warm", problems=[Problem("a", (), "1", solution="s"), Problem("b", (), "2")])
    with pytest.raises(DataError, match=r"`stage.warm` shows .* 1 problems have none \(first: `b`\).*`\{answer\}`"):
        OPSD(OPSDConfig(), stage)
    assert OPSD(OPSDConfig(hint=" it is {answer} ."), stage)
    with pytest.raises(ValueError, match="the hint tells nothing"):
        OPSDConfig(hint="think harder")
