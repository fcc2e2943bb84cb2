"""Optimizers of the library that torch.optim lacks, or computes in bf16, from their papers."""
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, parameters, lr, decay=0.0, rest=0.0):
        super().__init__(parameters, {"lr": lr, "decay": decay, "rest": rest})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(n=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
                state["n"] += 1
                self.move(p, p.grad, state, group["lr"], group)

    @staticmethod
    def moments(g, state, b1, b2):
        state["m"] = b1 * state["m"] + (1 - b1) * g
        state["v"] = b2 * state["v"] + (1 - b2) * g * g
        return state["m"] / (1 - b1 ** state["n"]), state["v"] / (1 - b2 ** state["n"])


class Lion(Rule):
    def move(self, p, g, state, lr, group):
        u = (0.9 * state["m"] + 0.1 * g).sign()
        state["m"] = 0.99 * state["m"] + 0.01 * g
        p.mul_(1 - lr * group["decay"]).sub_(lr * u)


class Lamb(Rule):
    def move(self, p, g, state, lr, group):
        m, v = self.moments(g, state, 0.9, 0.999)
        u = m / (v.sqrt() + 1e-6) + group["decay"] * p
        p.sub_(lr * p.norm() / u.norm() * u)


class Muon(Rule):
    """Matrices as torch.optim.Muon, in the type of the gradient; vectors as AdamW."""

    def move(self, p, g, state, lr, group):
        if p.dim() < 2:
            m, v = self.moments(g, state, 0.9, 0.95)
            p.mul_(1 - group["rest"] * 0.1).sub_(group["rest"] * m / (v.sqrt() + 1e-8))
            return
        state["m"].lerp_(g, 0.05)
        x = g.lerp(state["m"], 0.95)
        x = x / x.norm()
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x - 4.775 * gram @ x + 2.0315 * gram @ gram @ x
        p.mul_(1 - lr * 0.1).sub_(lr * max(1, p.shape[0] / p.shape[1]) ** 0.5 * x)
