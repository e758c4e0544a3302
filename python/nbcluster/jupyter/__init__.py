"""nbcluster in Jupyter: the server extension, and how kernels find it.

Kernels import ``nbcluster.jupyter.discovery``, often where no Jupyter server is installed: importing this
package imports nothing.
"""
