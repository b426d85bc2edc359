"""The transformers engine of a ZeroGPU Space: no host process, a GPU only inside `spaces.GPU`."""
