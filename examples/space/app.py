from amge.demo.page import serve

serve("transm3e-lite-pose")
