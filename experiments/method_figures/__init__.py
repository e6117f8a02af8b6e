"""The figures of docs/method.md, drawn from one forward of a trained model and from the files of its run."""
