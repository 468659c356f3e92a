"""A set of your own: an axis-aligned ellipsoid."""

import torch

import relu_attack as ra


class Ellipsoid(ra.Domain):
    dtype, device = property(lambda self: self.axes.dtype), property(lambda self: self.axes.device)

    def __init__(self, middle, axes):
        self.middle, self.axes, self.shape = torch.as_tensor(middle), torch.as_tensor(axes), (len(axes),)

    def to(self, *, device=None, dtype=None):
        return Ellipsoid(self.middle.to(device, dtype), self.axes.to(device, dtype))

    def size(self, points):
        return ((points.to(self.axes) - self.middle) / self.axes).norm(dim=-1, keepdim=True)

    def project(self, points):  # along the ray to the middle, and a little further than to the boundary
        return self.middle + (points.to(self.axes) - self.middle) / (self.size(points) * (1 + 1e-6)).clamp_min(1.0)

    def violation(self, points):
        return (self.size(points)[..., 0] - 1).clamp_min(0)

    def maximizer(self, direction):
        slope = self.axes * direction.to(self.axes)
        return self.project(self.middle + self.axes * slope / slope.norm(dim=-1, keepdim=True).clamp_min(1e-30))

    def bounding_box(self):  # it contains the set, rounding included
        return ra.Box(self.middle - 1.00001 * self.axes, self.middle + 1.00001 * self.axes)

    def normalized(self):  # as it is: scaled by 1, moved by 0
        return self, torch.ones_like(self.axes), torch.zeros_like(self.axes)


model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
result = ra.maximize(model, Ellipsoid([0.0, 0.0, 1.0], [1.0, 2.0, 0.5]), time_limit=1.0)
