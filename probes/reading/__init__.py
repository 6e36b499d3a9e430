"""What files tell: JSON, Python source, image headers, installed metadata. Nothing foreign is executed."""
