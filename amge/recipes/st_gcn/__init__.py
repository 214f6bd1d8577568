"""The recipe of `st-gcn`: trees learn the poses of photographs, and teach a network on made-up ones."""
