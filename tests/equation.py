"""The loss as the paper's equation has it: one sequence at a time, one token at a time, no padding."""

import torch


def answer_nlls(model, example):
    """-log P(y_t | y_<t, X) of every answer token, each a scalar with gradient."""
    tokens = torch.tensor(example.input_ids)
    logits = model(input_ids=tokens[None]).logits[0]
    answer = range(example.prompt_length, len(tokens))
    return [-logits[t - 1].log_softmax(dim=0)[tokens[t]] for t in answer]


def paper_loss(model, examples, loss_reduction="sequence"):
    """The loss of a step over all of `examples`, with their weights; see `token_weights`."""
    nlls = [answer_nlls(model, example) for example in examples]
    weights = [example.weight for example in examples]
    if loss_reduction == "token":
        summed = sum(w * sum(nll) for w, nll in zip(weights, nlls, strict=True))
        return summed / sum(len(nll) for nll in nlls)
    return sum(w * sum(nll) / len(nll) for w, nll in zip(weights, nlls, strict=True)) / len(examples)


def gradients(model, loss):
    """The gradient of every parameter that has one, by its name."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_close(found, expected, atol, rtol=0.0):
    """The same tensors by the same names."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )
