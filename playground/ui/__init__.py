"""The page: the only package that imports gradio. It never loads a model; engines are processes of their own."""
