"""The transformers engine of a ZeroGPU Space: no process of its own, a GPU only inside `spaces.GPU`."""
