from tidegate.limit._draw import Bucket

def stands(bucket: Bucket) -> tuple[int, int, int]:
    """`bucket.standing()`"""
