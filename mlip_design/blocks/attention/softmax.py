"""Scaled dot-product attention among the tokens of one centre, plain: tau = 1.

logit(a, b) = sum over l of q_l(a) . k_l(b) P_l(cos theta_ab) / sqrt(d) + ln w(b)
out(a)      = sum over b of softmax_b(logit(a, b)) v(b)

ln w makes the softmax weight of a token proportional to its envelope, so a token that leaves (w -> 0) has lost all
influence before; the self token (w = 1) keeps every row finite. l_max = 0 is ordinary attention; l_max > 0 splits
each head's channels over l = 0 .. l_max, which lets it see angles while the model stays rotation-invariant.
Large logits make the softmax switch abruptly between tokens: see `temperature` and `smooth`.
"""

from torch import Tensor, nn


class SoftmaxAttention(nn.Module):
    """n_features: channels in and out. n_heads: heads. l_max: highest Legendre order of the logits."""

    def __init__(self, n_features: int, n_heads: int, l_max: int):
        super().__init__()
        if n_features % (n_heads * (l_max + 1)):
            raise ValueError(
                f"attention: n_features = {n_features} must be a multiple of n_heads x (l_max + 1) = "
                f"{n_heads} x {l_max + 1}"
            )
        self.n_heads = n_heads
        self.n_orders = l_max + 1
        self.scale = (n_features // n_heads) ** -0.5
        self.project_in = nn.Linear(n_features, 3 * n_features, bias=False)
        self.project_out = nn.Linear(n_features, n_features, bias=False)

    def forward(self, tokens: Tensor, weight: Tensor, log_weight: Tensor, legendre: Tensor) -> Tensor:
        """Shapes as in `contracts.Attention`; returns (n_atoms, n_tokens, n_features)."""
        n_atoms, n_tokens, n_features = tokens.shape
        query, key, value = self.project_in(tokens).chunk(3, dim=-1)
        logits = self.logits(self.split(query), self.split(key), legendre) * self.scale
        mixing = (logits + log_weight[:, None, None, :]).softmax(dim=-1)
        value = self.weigh(value, weight).view(n_atoms, n_tokens, self.n_heads, -1).transpose(1, 2)
        mixed = (mixing @ value).transpose(1, 2).reshape(n_atoms, n_tokens, n_features)
        return self.project_out(mixed)

    def split(self, projected: Tensor) -> Tensor:
        """(n_atoms, n_tokens, n_features) -> (n_atoms, n_heads, l_max + 1, n_tokens, channels)."""
        n_atoms, n_tokens, _ = projected.shape
        return projected.view(n_atoms, n_tokens, self.n_heads, self.n_orders, -1).permute(0, 2, 3, 1, 4)

    def logits(self, query: Tensor, key: Tensor, legendre: Tensor) -> Tensor:
        """Unscaled logits (n_atoms, n_heads, n_tokens, n_tokens)."""
        products = query @ key.transpose(-1, -2)
        if self.n_orders == 1:
            return products.squeeze(2)
        return (products * legendre[:, None]).sum(2)

    def weigh(self, value: Tensor, weight: Tensor) -> Tensor:
        """Values as they enter the sum, (n_atoms, n_tokens, n_features); plain attention leaves them alone."""
        return value
