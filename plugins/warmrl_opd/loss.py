"""Policy gradients of distillation; the exact divergences are `Divergence` and `TopK` of `warmrl.engine.api`.

With r_t = pi(y_t) / pi_old(y_t), A an advantage that is held constant and i_t an importance weight:

    policy gradient:   L = -sum_t w_t i_t min(r_t A_t, clip(r_t, 1 - clip_low, 1 + clip_high) A_t)
    from a teacher nu: A_t = clamp(max(log nu(y_t), f) - max(log pi_old(y_t), f), -c, c)

The latter is verl's k1 with its clamps: the expected gradient is that of the reverse KL at each state (methods A.5 a,
b); without clips Tinker's. KDRL adds a divergence to the former with group-relative advantages. On completions that
the teacher wrote, its forward KL by the tokens it sampled is

    sum_t w_t (log nu(y_t) - log pi(y_t))

(exact: L = sum_t w_t D(pi(.|s_t), nu(.|s_t)) at each state s_t).
"""

from __future__ import annotations

from torch import Tensor


def teacher_advantage(
    teacher_logprob: Tensor, old_logprob: Tensor, *, clamp: float, floor: float | None = None
) -> Tensor:
    """`[n]` the log-ratio of teacher and student, without gradient.

    Args:
        teacher_logprob: `[n]` log-probability of each sampled token under the teacher.
        old_logprob: `[n]` the same under the student that sampled it.
        clamp: Bound c on the log-ratio.
        floor: Least log-probability f that either counts with; None: none.
    """
    if floor is not None:
        teacher_logprob, old_logprob = teacher_logprob.clamp(min=floor), old_logprob.clamp(min=floor)
    return (teacher_logprob - old_logprob).clamp(-clamp, clamp).detach()


def sampled_forward_loss(logprob: Tensor, teacher_logprob: Tensor, weight: Tensor) -> Tensor:
    """The forward KL by tokens that the teacher sampled, summed over tokens.

    Args:
        logprob: `[n]` log-probability of each token under the student.
        teacher_logprob: `[n]` the same under the teacher that sampled it.
        weight: `[n]` weight of each token; weights sum to 1 over an update.
    """
    return (weight * (teacher_logprob - logprob)).sum()
